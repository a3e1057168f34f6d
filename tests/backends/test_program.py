"""Whole plans on the Numba backend equal the reference backend, from any content of the arena and on any threads."""

import threading

import numpy as np
import pytest
from edge_sparse.converters.lower import lower
from graph_builder import GraphBuilder
from test_lower import NETWORKS
from tiny_plan import TinyPlan

from edge_sparse import Session
from edge_sparse.backends.numba.cache import ObjectCache
from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.program import NumbaProgram
from edge_sparse.errors import BackendError, InputError
from edge_sparse.plan import DType, Op


def both(model, x, threads=1, runs=2):
    """Run on NaN-filled memory, twice, because the second run finds what the first one left."""
    expected = Session.from_model(model, backend="reference").run(x)
    with Session.from_model(model, threads=threads) as session:
        session._executor._arena[:] = 255
        for _ in range(runs):
            result = session.run(x)
            assert set(result) == set(expected)
            for name in expected:
                assert result[name].shape == expected[name].shape
                np.testing.assert_allclose(result[name], expected[name], rtol=1e-4, atol=1e-5)


def image(shape, seed=1):
    return {"x": np.random.default_rng(seed).standard_normal(shape).astype(np.float32)}


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("batch", "size"), [(1, (32, 32)), (2, (27, 35))])
@pytest.mark.parametrize("layout", ["chw", "nhwc"])
@pytest.mark.parametrize("network", NETWORKS)
def test_network_equals_reference(network, layout, batch, size, threads):
    builder = GraphBuilder(batch, 3, *size)
    model = lower(builder.finish(network(builder)), {}, layout=layout)
    both(model, image((batch, 3, *size)), threads)


def pools(b, **options):
    x = b.conv("x", 6, 3)
    yield b.pool("max_pool", x, 3, 2, 1)
    yield b.pool("max_pool", x, 2, 1, 0, dilation=(2, 2))
    yield b.pool("max_pool", x, 3, 3, 1)
    yield b.pool("avg_pool", x, 3, 2, 1, count_include_pad=True)
    yield b.pool("avg_pool", x, 3, 1, 1, count_include_pad=False)
    yield b.node("adaptive_avg_pool", [x], (*b.shape(x)[:2], 3, 5), output_size=(3, 5))
    yield b.node("pad", [x], (*b.shape(x)[:2], b.shape(x)[2] + 3, b.shape(x)[3] + 7), padding=(1, 3, 2, 4), value=1.5)


@pytest.mark.parametrize("layout", ["chw", "nhwc"])
@pytest.mark.parametrize("which", range(7))
def test_windows_equal_reference(which, layout):
    builder = GraphBuilder(2, 3, 13, 18)
    x = builder.conv(list(pools(builder))[which], 4, 3, activation="relu")
    both(lower(builder.finish(x), {}, layout=layout), image((2, 3, 13, 18)), 2)


ACTIVATIONS = ["relu", "clamp", "hardswish", "hardsigmoid", "sigmoid", "silu", "tanh", "gelu"]


@pytest.mark.parametrize("layout", ["chw", "nhwc"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_equal_reference(activation, layout):
    builder = GraphBuilder(1, 5, 9, 11)
    options = {"activation": activation, "clamp_low": -0.5, "clamp_high": 0.7}
    x = builder.same("activation", builder.conv("x", 5, 3), **options)
    x = builder.depthwise(builder.conv(x, 10, **options), stride=2, **options)
    other = builder.conv(x, 10, residual=x, **options)
    y = builder.same("add", builder.same("mul", x, other, **options), builder.constant(1, 10, 1, 1), **options)
    model = lower(builder.finish(builder.mean(builder.conv(y, 7, 3))), {}, layout=layout)
    both(model, image((1, 5, 9, 11)))


@pytest.mark.parametrize("layout", ["chw", "nhwc"])
@pytest.mark.parametrize("batch", [1, 3])
def test_gates_of_one_value_per_channel(layout, batch):
    builder = GraphBuilder(batch, 12, 7, 6)
    x = builder.conv("x", 12, 3)
    gate = builder.same("activation", builder.mean(x, keepdim=True), activation="sigmoid")
    y = builder.same("mul", builder.same("add", x, builder.constant(1)), gate)
    both(lower(builder.finish(builder.conv(y, 3)), {}, layout=layout), image((batch, 12, 7, 6)))


@pytest.mark.parametrize("shape", [(2, 60), (2, 5, 12), (2, 3, 4, 5), (1, 8, 15, 1)])
def test_reshapes_keep_the_order(shape):
    builder = GraphBuilder(2, 3, 4, 5)
    x = builder.conv("x", 3)
    y = builder.node("reshape", [x], shape)
    both(lower(builder.finish(y), {}, layout="nhwc"), image((2, 3, 4, 5)))


def test_softmax_and_linear_on_three_axes():
    builder = GraphBuilder(2, 3, 10)
    x = builder.linear(builder.linear("x", 17, activation="gelu"), 9)
    both(lower(builder.finish(builder.same("softmax", x)), {}), image((2, 3, 10)), 2)


def test_channels_last_boundary():
    builder = GraphBuilder(1, 3, 8, 10)
    graph = builder.finish(builder.conv("x", 5, 3))
    graph.input_layouts = {"x": "nhwc", graph.outputs[0]: "nhwc"}
    model = lower(graph, {}, layout="chw")
    session = Session.from_model(model)
    assert session.inputs[0].shape == (1, 8, 10, 3)
    assert session.outputs[0].layout == "nhwc"
    both(model, image((1, 8, 10, 3)))


def test_threads_do_not_change_the_result():
    builder = GraphBuilder(1, 3, 40, 40)
    model = lower(builder.finish(NETWORKS[1](builder)), {}, layout="chw")
    x = image((1, 3, 40, 40))["x"]
    results = [Session.from_model(model, threads=threads)(x) for threads in (1, 2, 5)]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_sessions_of_one_model_run_in_many_threads():
    builder = GraphBuilder(1, 3, 24, 24)
    model = lower(builder.finish(NETWORKS[0](builder)), {})
    first = Session.from_model(model)
    inputs = [image((1, 3, 24, 24), seed)["x"] for seed in range(4)]
    expected = [first(x) for x in inputs]
    wrong = []

    def work(number):
        session = first.fork()
        for _ in range(50):
            if not np.array_equal(session(inputs[number]), expected[number]):
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_profile_and_explain_cover_every_step():
    builder = GraphBuilder(1, 3, 24, 24)
    session = Session.from_model(lower(builder.finish(NETWORKS[0](builder)), {}))
    times = session.profile(repeats=3)
    assert [time.name for time in times] == [step.name for step in session.plan.steps]
    assert all(0 <= time.seconds_min <= time.seconds_median < 1 for time in times)
    assert sum(time.seconds_min for time in times) > 0
    text = session.explain()
    assert all(step.name in text for step in session.plan.steps)
    assert "spmm_f32_gs" in text


def test_a_closed_session_says_so():
    builder = GraphBuilder(1, 3, 8, 8)
    session = Session.from_model(lower(builder.finish(builder.conv("x", 4)), {}), threads=2)
    session.close()
    with pytest.raises(BackendError, match="SESSION_CLOSED"):
        session(np.zeros((1, 3, 8, 8), np.float32))


@pytest.mark.parametrize(
    ("x", "code"),
    [
        ([[0.0]], "INPUT_TYPE"),
        (np.zeros((1, 3, 8, 8)), "INPUT_DTYPE"),
        (np.zeros((3, 8, 8), np.float32), "INPUT_RANK"),
        (np.zeros((1, 3, 8, 9), np.float32), "INPUT_SHAPE"),
        (np.zeros((4, 3, 8, 8), np.float32), "INPUT_BATCH"),
        (np.zeros((1, 3, 8, 16), np.float32)[..., ::2], "INPUT_NOT_CONTIGUOUS"),
    ],
)
def test_wrong_inputs_are_named(x, code):
    builder = GraphBuilder(1, 3, 8, 8)
    session = Session.from_model(lower(builder.finish(builder.conv("x", 4)), {}))
    with pytest.raises(InputError) as error:
        session(x)
    assert error.value.code == code
    assert error.value.hint


def test_wrong_calls_are_named():
    builder = GraphBuilder(1, 3, 8, 8)
    model = lower(builder.finish(builder.conv("x", 4)), {})
    session = Session.from_model(model)
    x = np.zeros((1, 3, 8, 8), np.float32)
    for call, code in [
        (lambda: session(), "INPUT_COUNT"),
        (lambda: session.run({"y": x}), "INPUT_NAME"),
        (lambda: Session.from_model(model, threads=0), "THREADS_RANGE"),
        (lambda: Session.from_model(model, plan="decode"), "PLAN_UNKNOWN"),
        (lambda: session.profile(repeats=0), "REPEATS_RANGE"),
    ]:
        with pytest.raises(InputError) as error:
            call()
        assert error.value.code == code
    with pytest.raises(BackendError, match="BACKEND_UNKNOWN"):
        Session.from_model(model, backend="cuda")


def test_a_second_program_takes_all_kernels_from_the_cache(tmp_path):
    builder = GraphBuilder(1, 3, 16, 16)
    model = lower(builder.finish(NETWORKS[1](builder)), {})
    first, second = (KernelCompiler(cache=ObjectCache(tmp_path)) for _ in range(2))
    NumbaProgram(model, model.plan(), first)
    NumbaProgram(model, model.plan(), second)
    assert first.compiled > 5
    assert second.compiled == 0


def test_many_short_runs_on_more_threads_than_cores():
    """Threads that wake late find their run over; they must neither repeat nor skip work of the next one."""
    builder = GraphBuilder(1, 3, 9, 9)
    model = lower(builder.finish(NETWORKS[1](builder)), {}, layout="chw")
    inputs = [image((1, 3, 9, 9), seed) for seed in range(4)]
    with Session.from_model(model) as alone, Session.from_model(model, threads=6) as crowded:
        expected = [alone.run(x) for x in inputs]
        for number in range(400):
            result = crowded.run(inputs[number % 4])
            for name, value in expected[number % 4].items():
                np.testing.assert_array_equal(result[name], value)


def test_an_interrupted_run_is_finished_before_the_next():
    builder = GraphBuilder(1, 3, 20, 20)
    model = lower(builder.finish(NETWORKS[1](builder)), {}, layout="chw")
    x, y = image((1, 3, 20, 20), 1), image((1, 3, 20, 20), 2)
    with Session.from_model(model, threads=2) as session:
        expected = session.run(y)
        executor = session._executor

        def interrupted(*_):
            executor._drive = drive
            raise KeyboardInterrupt

        drive, executor._drive = executor._drive, interrupted
        with pytest.raises(KeyboardInterrupt):
            session.run(x)
        for name, value in session.run(y).items():
            np.testing.assert_array_equal(value, expected[name])


def test_threads_that_a_fork_of_the_process_left_behind_are_not_waited_for():
    plan = TinyPlan(4)
    plan.step(Op.SOFTMAX, [plan.input("x", (4, 3))], plan.output("y", (4, 3)))
    session = plan.session("numba", threads=2)
    session.run({"x": np.zeros((4, 3), np.float32)})
    executor, found = session._executor, []
    # What a child process finds when another thread was still inside the driver.
    executor._process = 0
    executor._workers._runs[0] += 1
    executor._progress[0, 0] += 1
    executor._unfinished = ({}, {})
    running = threading.Thread(
        target=lambda: found.append(session.run({"x": np.zeros((2, 3), np.float32)})["y"]), daemon=True
    )
    running.start()
    running.join(20)
    np.testing.assert_allclose(found, np.full((1, 2, 3), 1 / 3, np.float32), rtol=1e-6)


def test_numbers_that_change_after_their_check_lead_nowhere():
    plan = TinyPlan(4)
    table = plan.constant(np.arange(12, dtype=np.float32).reshape(6, 2))
    ids = plan.input("ids", (4,), DType.S32)
    plan.step(Op.EMBEDDING, [ids, table], plan.output("y", (4, 2)), matrix=-1)
    with plan.session("numba", threads=2) as session:
        executor, numbers = session._executor, np.array([5, 1, 0], np.int32)

        def interrupted(*_):
            executor._drive = drive
            raise KeyboardInterrupt

        drive, executor._drive = executor._drive, interrupted
        with pytest.raises(KeyboardInterrupt):
            session.run({"ids": numbers})
        # The cut-off run is finished when the next one begins, and numbers that nobody checked must not reach it.
        assert not np.shares_memory(executor._unfinished[0]["ids"], numbers)
        numbers[:] = 2
        np.testing.assert_array_equal(session.run({"ids": numbers})["y"], np.full((3, 2), [4, 5], np.float32))

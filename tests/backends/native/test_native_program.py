"""The native backend behind the interface of all backends: errors, state, threads, memory, and how it is chosen."""

import gc
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_sparse import Session
from edge_sparse.backends import base
from edge_sparse.backends.native.library import load_library
from edge_sparse.backends.native.program import NativeProgram
from edge_sparse.errors import BackendError, FileFormatError, InputError
from edge_sparse.plan import DType, Op

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_plan import TinyPlan


@pytest.fixture(autouse=True)
def _library():
    try:
        load_library()
    except BackendError as error:
        pytest.skip(str(error))


def softmax_plan(rows=6):
    plan = TinyPlan(rows)
    plan.step(Op.SOFTMAX, [plan.input("x", (rows, 3))], plan.output("y", (rows, 3)))
    return plan


def embedding_plan():
    plan = TinyPlan(4)
    table = plan.constant(np.arange(12, dtype=np.float32).reshape(6, 2))
    ids = plan.input("ids", (4,), DType.S32)
    plan.step(Op.EMBEDDING, [ids, table], plan.output("y", (4, 2)), matrix=-1)
    return plan


def cache_plan():
    """Return a plan that rotates queries and keeps keys and values in a cache of 16 tokens."""
    plan = TinyPlan(4)
    x = [plan.input(name, (4, 8)) for name in ("q", "k", "v")]
    keys, values = plan.state("keys", (16, 8)), plan.state("values", (16, 8))
    position = plan.input("position", (1,), DType.S32, symbolic=False)
    words = {"heads": 1, "kv_heads": 1, "head_dim": 8, "scale": 0.5}
    plan.step(Op.ATTENTION, [*x, keys, values, position], plan.output("y", (4, 8)), **words)
    return plan


def cache_inputs(tokens, position, seed=0):
    random = np.random.default_rng(seed)
    arrays = {name: random.standard_normal((tokens, 8)).astype(np.float32) for name in ("q", "k", "v")}
    return arrays | {"position": np.array([position], np.int32)}


def test_every_length_of_the_symbol():
    with softmax_plan().session("native") as native, softmax_plan().session("reference") as reference:
        for tokens in (6, 1, 3, 6):
            x = np.random.default_rng(tokens).standard_normal((tokens, 3)).astype(np.float32)
            np.testing.assert_allclose(native(x), reference(x), rtol=1e-6)


def test_outputs_are_new_arrays():
    with softmax_plan().session("native") as session:
        first = session(np.zeros((2, 3), np.float32))
        kept = first.copy()
        session(np.eye(2, 3, dtype=np.float32))
        np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    ("ids", "code"), [([0, 6], "TOKEN_RANGE"), ([-1], "TOKEN_RANGE"), ([2**31 - 1], "TOKEN_RANGE")]
)
def test_token_ids_are_checked_with_the_words_of_the_other_backends(ids, code):
    messages = []
    for backend in ("native", "reference"):
        with embedding_plan().session(backend) as session:
            with pytest.raises(InputError) as error:
                session.run({"ids": np.array(ids, np.int32)})
            assert error.value.code == code
            messages.append(error.value.message)
            # Refused before anything ran, and usable afterwards.
            result = session.run({"ids": np.array([5, 0], np.int32)})["y"]
            np.testing.assert_array_equal(result, np.array([[10, 11], [0, 1]], np.float32))
    # The reference checks after the fact what the numba backend and the C core check before.
    assert messages[0].startswith("ids holds token")


@pytest.mark.parametrize(("tokens", "position"), [(1, -1), (1, 16), (4, 13), (2, 2**31 - 1)])
def test_positions_are_checked(tokens, position):
    with cache_plan().session("native") as session:
        with pytest.raises(InputError) as error:
            session.run(cache_inputs(tokens, position))
        assert error.value.code == "POSITION_RANGE"
        assert error.value.hint


def test_state_is_kept_shared_and_separate_in_forks():
    model = cache_plan().model()
    with Session.from_model(model, backend="native") as session, session.fork() as other:
        reference = Session.from_model(model, backend="reference")
        for number, (tokens, position) in enumerate([(4, 0), (1, 4), (3, 5)]):
            inputs = cache_inputs(tokens, position, number)
            np.testing.assert_allclose(session.run(inputs)["y"], reference.run(inputs)["y"], rtol=1e-5, atol=1e-6)
        for name in ("keys", "values"):
            np.testing.assert_array_equal(session.state(name), reference.state(name))
            assert session.state(name).any()
            assert not other.state(name).any()
        # It is the memory itself.
        session.state("keys")[:] = 0
        assert not session.state("keys").any()


def test_state_outlives_its_session():
    session = cache_plan().session("native", threads=2)
    session.run(cache_inputs(4, 0))
    state = session.state("keys")
    kept = state.copy()
    session.close()
    del session
    gc.collect()
    np.testing.assert_array_equal(state, kept)
    state[:] = 1


def test_a_closed_session_says_so():
    session = softmax_plan().session("native", threads=2)
    session.close()
    session.close()
    with pytest.raises(BackendError, match="SESSION_CLOSED"):
        session(np.zeros((1, 3), np.float32))


def _run_in_a_child(session, x, pipe):
    pipe.send(session.run(x)["y"])


def test_a_fork_of_the_process_goes_on_with_the_state():
    model = cache_plan().model()
    session = Session.from_model(model, backend="native", threads=3)
    first, second = cache_inputs(4, 0, 1), cache_inputs(2, 4, 2)
    session.run(first)
    context = multiprocessing.get_context("fork")
    near, far = context.Pipe()
    child = context.Process(target=_run_in_a_child, args=(session, second, far))
    child.start()
    assert near.poll(30)
    found = near.recv()
    child.join(30)
    assert child.exitcode == 0
    np.testing.assert_array_equal(found, session.run(second)["y"])


def test_kernels_and_times_of_every_step():
    plan = TinyPlan(5)
    x, hidden = plan.input("x", (5, 8)), plan.arena((5, 8))
    weights = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)
    words = {"quantise_x": 0, "activation": 0, "clamp_low": 0.0, "clamp_high": 0.0, **_WINDOW}
    plan.step(Op.SPMM, [x], hidden, matrix=plan.matrix(weights, 4, DType.F32, sparsity=0.5), **words)
    plan.step(Op.SOFTMAX, [hidden], plan.output("y", (5, 8)))
    with plan.session("native") as session:
        names = [choice.kernel for choice in session.choices]
        assert all(names)
        assert "spmm_f32" in names[0]
        assert "skipped" in session.choices[0].reason
        times = session.profile(repeats=4)
        assert [time.name for time in times] == ["spmm", "softmax"]
        assert all(0 < time.seconds_min <= time.seconds_median < 1 for time in times)
        assert names[0] in session.explain()


#: A product of rows has no window.
_WINDOW = dict.fromkeys(("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
_WINDOW |= dict.fromkeys(("pad_top", "pad_left", "phase_split", "strips_outermost"), 0)


def test_a_broken_model_is_refused_by_name():
    model = softmax_plan().model()
    plan = replace(model.plans[0], steps=(replace(model.plans[0].steps[0], inputs=(7,)),))
    with pytest.raises(FileFormatError) as error:
        Session.from_model(replace(model, plans=(plan,)), backend="native")
    assert error.value.code == "STEP_TENSOR"
    assert error.value.message
    assert error.value.hint


def test_variants_that_are_not_there_are_an_error():
    model = softmax_plan().model()
    with pytest.raises(BackendError) as error:
        NativeProgram(model, model.plans[0], 1 << 20).executor(1)
    assert error.value.code == "OP_UNSUPPORTED"


def test_weights_are_used_where_they_are():
    plan = embedding_plan()
    model = plan.model()
    table = next(tensor.data for tensor in model.tensors if tensor.data is not None)
    with Session.from_model(model, backend="native") as session:
        table[5] = [8, 9]
        np.testing.assert_array_equal(session.run({"ids": np.array([5], np.int32)})["y"], [[8, 9]])


def test_programs_and_sessions_give_their_memory_back():
    model = cache_plan().model()
    program = NativeProgram(model, model.plans[0])
    executor = program.executor(2)
    state = executor.state
    del program, executor
    gc.collect()
    state[:] = 3
    assert (state == 3).all()


def in_a_process(script, **environment):
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_missing_library_is_told(tmp_path):
    script = "from edge_sparse.backends.base import available_backends as a; print(a()['native'])"
    text = in_a_process(script, EDGE_SPARSE_LIBRARY=str(tmp_path / "none.so"))
    assert "available=False" in text
    assert "none.so" in text
    assert "make native" in text


def test_another_kind_of_library_is_told(tmp_path):
    (tmp_path / "broken.so").write_bytes(b"\x7fELF")
    script = "from edge_sparse.backends.base import available_backends as a; print(a()['native'])"
    text = in_a_process(script, EDGE_SPARSE_LIBRARY=str(tmp_path / "broken.so"))
    assert "available=False" in text
    assert "cannot be loaded" in text


@pytest.mark.parametrize(
    ("machine", "numba", "native", "chosen"),
    [
        ("x86_64", True, True, "numba"),
        ("x86_64", False, True, "native"),
        ("aarch64", True, True, "native"),
        ("aarch64", False, True, "native"),
        ("armv7l", True, False, "numba"),
    ],
)
def test_the_default_backend(monkeypatch, machine, numba, native, chosen):
    monkeypatch.setattr(base.platform, "machine", lambda: machine)
    real = base._STATES
    states = {
        "numba": lambda: base.BackendStatus(numba, "?"),
        "native": lambda: base.BackendStatus(native, "?"),
        "reference": real["reference"],
    }
    monkeypatch.setattr(base, "_STATES", states)
    assert next(iter(base.available_backends())) == chosen
    model = softmax_plan().model()
    assert base.prepare("auto", model, model.plans[0])[0] == chosen


def test_without_a_fast_backend_nothing_is_replaced_silently(monkeypatch):
    lacking = base.BackendStatus(False, "get it there")
    monkeypatch.setattr(base, "_STATES", base._STATES | {"numba": lambda: lacking, "native": lambda: lacking})
    model = softmax_plan().model()
    with pytest.raises(BackendError) as error:
        base.prepare("auto", model, model.plans[0])
    assert error.value.code == "BACKEND_UNAVAILABLE"
    assert "get it there" in error.value.hint

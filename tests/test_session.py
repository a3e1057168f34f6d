"""Sessions under wrong inputs, many threads, forks of the process, and frequent making and closing."""

import gc
import os
import threading

import numpy as np
import pytest
from edge_sparse.converters.lower import lower
from graph_builder import GraphBuilder

from edge_sparse import Model, Session
from edge_sparse.errors import BackendError, EdgeSparseError, InputError
from edge_sparse.machine import peak_memory_bytes
from edge_sparse.plan import ImagePreprocessing

SHAPE = (1, 3, 16, 16)


def network(batch=1, softmax=False, nhwc=False):
    builder = GraphBuilder(batch, *SHAPE[1:])
    x = builder.conv("x", 16, 3, stride=2, activation="relu")
    x = builder.conv(builder.depthwise(x, activation="relu"), 24, prune=(4, 0.5), activation="relu")
    x = builder.linear(builder.mean(x), 10)
    graph = builder.finish(builder.same("softmax", x) if softmax else x)
    if nhwc:
        graph.input_layouts = {"x": "nhwc"}
    return lower(graph, {})


@pytest.fixture(scope="module")
def model():
    return network()


def noise(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


BAD_INPUTS = [
    (noise().tolist(), "INPUT_TYPE"),
    (None, "INPUT_TYPE"),
    (noise().astype(np.float64), "INPUT_DTYPE"),
    (noise().astype(">f4"), "INPUT_DTYPE"),
    (noise().astype(np.complex64), "INPUT_DTYPE"),
    (noise().astype(object), "INPUT_DTYPE"),
    (noise()[0], "INPUT_RANK"),
    (np.float32(1) * np.ones((), np.float32), "INPUT_TYPE"),
    (np.zeros((1, 3, 16, 17), np.float32), "INPUT_SHAPE"),
    (np.zeros((1, 16, 16, 3), np.float32), "INPUT_SHAPE"),
    (np.zeros((1, 3, 16, 0), np.float32), "INPUT_SHAPE"),
    (np.zeros((0, 3, 16, 16), np.float32), "INPUT_BATCH"),
    (np.zeros((2, 3, 16, 16), np.float32), "INPUT_BATCH"),
    (np.zeros((1, 3, 16, 32), np.float32)[..., ::2], "INPUT_NOT_CONTIGUOUS"),
    (np.asfortranarray(noise()), "INPUT_NOT_CONTIGUOUS"),
]


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize(("x", "code"), BAD_INPUTS, ids=lambda value: value if isinstance(value, str) else "x")
def test_wrong_inputs_have_codes_and_leave_the_session_usable(model, backend, x, code):
    session = Session.from_model(model, backend=backend)
    with pytest.raises(InputError) as error:
        session(x)
    assert error.value.code == code
    assert "input x " in error.value.message
    assert error.value.hint
    assert np.isfinite(session(noise())).all()


def test_what_is_not_finite_runs_and_does_not_stay(model):
    session = Session.from_model(model)
    clean = session(noise())
    assert np.isnan(session(np.full(SHAPE, np.nan, np.float32))).all()
    session(np.full(SHAPE, np.inf, np.float32))
    np.testing.assert_array_equal(session(noise()), clean)


def test_arrays_off_their_alignment_are_accepted(model):
    x = noise()
    memory = bytearray(x.nbytes + 1)
    shifted = np.frombuffer(memory, np.float32, x.size, offset=1).reshape(SHAPE)
    shifted[:] = x
    assert not shifted.flags.aligned
    session = Session.from_model(model)
    np.testing.assert_array_equal(session(shifted), session(x))


def test_inputs_are_not_changed_and_outputs_are_new(model):
    session = Session.from_model(model)
    x = noise()
    x.flags.writeable = False
    first = session(x)
    kept = first.copy()
    second = session(noise(1))
    np.testing.assert_array_equal(first, kept)
    assert not np.shares_memory(first, second)
    np.testing.assert_array_equal(x, noise())


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_closed_sessions(model, backend):
    session = Session.from_model(model, backend=backend)
    session.close()
    session.close()
    for call in (lambda: session(noise()), session.profile):
        with pytest.raises(BackendError, match="SESSION_CLOSED"):
            call()
    assert session.fork()(noise()).shape == (1, 10)


@pytest.mark.parametrize("threads", [0, -1, 257, 1.5, "2"])
def test_impossible_numbers_of_threads(model, threads):
    with pytest.raises(InputError, match="THREADS_RANGE"):
        Session.from_model(model, threads=threads)


def test_a_model_without_plans():
    with pytest.raises(InputError, match="PLAN_UNKNOWN"):
        Session.from_model(Model(()))


def run_all(functions):
    """Run functions in threads of their own and return what they raised."""
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return errors


def repeated(session, x, expected, count=200):
    def work():
        for _ in range(count):
            np.testing.assert_array_equal(session(x), expected)

    return work


def test_forked_sessions_run_side_by_side(model):
    first = Session.from_model(model)
    inputs = [noise(seed) for seed in range(4)]
    expected = [first(x) for x in inputs]
    assert not run_all([repeated(first.fork(), x, y) for x, y in zip(inputs, expected, strict=True)])


def test_one_session_in_many_threads_gives_everybody_their_own_result(model):
    session = Session.from_model(model)
    inputs = [noise(seed) for seed in range(4)]
    expected = [session(x) for x in inputs]
    assert not run_all([repeated(session, x, y) for x, y in zip(inputs, expected, strict=True)])


def test_closing_while_others_run_ends_in_a_typed_error(model):
    session = Session.from_model(model)
    x, started = noise(), threading.Event()

    def work():
        while True:
            session(x)
            started.set()

    def close():
        started.wait()
        session.close()

    errors = run_all([work, close])
    assert [getattr(error, "code", error) for error in errors] == ["SESSION_CLOSED"]


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="measures memory through /proc")
def test_sessions_leave_neither_threads_nor_memory_behind(model):
    def rounds(count):
        for number in range(count):
            session = Session.from_model(model, threads=2)
            if number == 0:
                session(noise())
            if number % 2:
                session.close()
        del session
        gc.collect()

    rounds(5)
    threads, before = threading.active_count(), resident()
    rounds(16)
    assert threading.active_count() == threads
    # A leak of a model's kernels or of a thread's stack would be larger.
    assert resident() - before < 16 * 32 * 1024
    assert peak_memory_bytes() >= resident() // 2


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("threads", [1, 2])
def test_sessions_run_in_forked_processes(model, threads):
    session = Session.from_model(model, threads=threads)
    expected = session(noise())
    child = os.fork()
    if child == 0:
        # An exception must not reach pytest in the child.
        code = 1
        try:
            old = session(noise())
            new = Session.from_model(model, threads=threads)(noise())
            code = int(not (np.array_equal(old, expected) and np.array_equal(new, expected)))
        finally:
            os._exit(code)
    waiting = threading.Timer(20, os.kill, (child, 9))
    waiting.start()
    _, status = os.waitpid(child, 0)
    waiting.cancel()
    assert os.waitstatus_to_exitcode(status) == 0
    np.testing.assert_array_equal(session(noise()), expected)


class TestClassify:
    RECORD = ImagePreprocessing(16, 16, 3, 18, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    LABELS = tuple(f"label {number}" for number in range(10))

    @pytest.fixture
    def picture(self):
        pytest.importorskip("PIL", reason="needs Pillow: edge_sparse[image]")
        return np.random.default_rng(3).integers(0, 256, (20, 25, 3), np.uint8)

    def labelled(self, **options):
        from dataclasses import replace

        return replace(network(**options), image=self.RECORD, labels=self.LABELS)

    @pytest.mark.parametrize("nhwc", [False, True])
    def test_labels_come_with_their_probabilities(self, picture, nhwc):
        from edge_sparse.image import preprocess

        session = Session.from_model(self.labelled(nhwc=nhwc))
        x = preprocess(picture, self.RECORD)
        logits = session(np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if nhwc else x)[0].astype(float)
        expected = np.exp(logits) / np.exp(logits).sum()
        results = session.classify(picture, top=4)
        assert [label for label, _ in results] == [self.LABELS[i] for i in np.argsort(-logits)[:4]]
        np.testing.assert_allclose([share for _, share in results], np.sort(expected)[::-1][:4], rtol=1e-6)

    def test_a_softmax_in_the_model_is_not_repeated(self, picture):
        plain, softmax = (Session.from_model(self.labelled(softmax=value)) for value in (False, True))
        for one, other in zip(plain.classify(picture, 10), softmax.classify(picture, 10), strict=True):
            assert one[0] == other[0]
            assert one[1] == pytest.approx(other[1], rel=1e-4)

    def test_classes_without_a_label_are_numbered(self, picture):
        from dataclasses import replace

        session = Session.from_model(replace(self.labelled(), labels=()))
        assert sorted(label for label, _ in session.classify(picture, 100)) == [str(number) for number in range(10)]

    def test_what_cannot_be_classified(self, picture):
        from dataclasses import replace

        model = self.labelled()
        for changed, top, code in [
            (replace(model, image=None), 5, "IMAGE_RECORD_MISSING"),
            (replace(model, image=replace(self.RECORD, height=15)), 5, "INPUT_SHAPE"),
            (replace(model, image=replace(self.RECORD, channels=1)), 5, "INPUT_SHAPE"),
            (model, 0, "TOP_RANGE"),
        ]:
            with pytest.raises(EdgeSparseError) as error:
                Session.from_model(changed).classify(picture, top)
            assert error.value.code == code
        with pytest.raises(InputError, match="INPUT_BATCH"):
            Session.from_model(self.labelled(batch=2)).classify(picture)

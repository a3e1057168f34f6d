"""Attention modes of the C core against ``edge_sparse.llm``: state, results, rewinding, wrong options."""

import ctypes
import sys
from pathlib import Path

import numpy as np
import pytest
from text_api import TextOptions

from edge_sparse import Session
from edge_sparse.backends.native.library import ErrorText, load_library
from edge_sparse.errors import BackendError
from edge_sparse.format.writer import write_model
from edge_sparse.llm.attention import DeltaAttention, ExactAttention, with_attention
from edge_sparse.llm.skipped import skipped
from edge_sparse.plan import DType, Storage

sys.path.insert(0, str(Path(__file__).parents[2] / "llm"))
from small_decoder import CHUNK, CONTEXT, small_model

MODES = [
    ExactAttention(DType.S8),
    ExactAttention(DType.F16),
    ExactAttention(DType.F32),
    DeltaAttention(0.6, 0.05),
    DeltaAttention(0.0, 0.3, 2, DType.F32),
    DeltaAttention(0.3, 0.5, 1),
]
modes = pytest.mark.parametrize("mode", MODES, ids=str)
TOKENS = np.random.default_rng(5).integers(1, 250, CONTEXT).astype(np.int32)


@pytest.fixture(scope="module")
def library():
    try:
        library = load_library()
    except BackendError as error:
        pytest.skip(error.args[0])
    library.es_text_skipped.restype = ctypes.c_double
    library.es_text_rewind.restype = ctypes.c_size_t
    library.es_text_rewind.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    library.es_text_session.restype = ctypes.c_void_p
    for name in ("skipped", "session", "close"):
        getattr(library, f"es_text_{name}").argtypes = [ctypes.c_void_p]
    return library


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("modes") / "small.egs"
    write_model(small_model(), path)
    return path


class Text:
    """An ``es_text`` and its model."""

    def __init__(self, library, path, mode=None, context=0, **options):
        self.library, self.model, self.text = library, ctypes.c_void_p(), ctypes.c_void_p()
        error = ErrorText()
        assert not library.es_model_open(str(path).encode(), None, ctypes.byref(self.model), ctypes.byref(error))
        if mode is not None:
            options = {"cache": int(mode.cache), "attention": int(isinstance(mode, DeltaAttention)), **options}
            if options["attention"]:
                options |= {"theta": mode.theta, "window": mode.window, "sinks": mode.sinks}
        given = TextOptions(context=context, **options)
        status = library.es_text_create(self.model, ctypes.byref(given), ctypes.byref(self.text), ctypes.byref(error))
        self.status, self.message = library.es_status_name(status).decode(), error.message.decode()

    def __enter__(self):
        assert self.status == "OK", self.message
        return self

    def __exit__(self, *_):
        self.library.es_text_close(self.text)
        self.library.es_model_close(self.model)

    def read(self, tokens):
        tokens = np.ascontiguousarray(tokens, np.int32)
        logits = ctypes.POINTER(ctypes.c_float)()
        place = ctypes.c_void_p(tokens.ctypes.data)
        status = self.library.es_text_read(self.text, place, ctypes.c_size_t(len(tokens)), ctypes.byref(logits))
        assert not status
        return np.ctypeslib.as_array(logits, (256,)).copy()

    def state(self, name):
        data, size = ctypes.c_void_p(), ctypes.c_size_t()
        session = self.library.es_text_session(self.text)
        status = self.library.es_session_state(session, name.encode(), ctypes.byref(data), ctypes.byref(size))
        return None if status else size.value


class Reference:
    """The same reads by the reference backend."""

    def __init__(self, mode, context=None):
        self.mode, self.model = mode, with_attention(small_model(), mode, context)
        self.session = Session.from_model(self.model, backend="reference", plan="generate")
        self.stored, self.window = 0, 1

    def read(self, tokens):
        if not self.stored:
            self.window = self.mode.window_tokens(len(tokens))
        for first in range(0, len(tokens), CHUNK):
            part = tokens[first : first + CHUNK]
            place = np.array([self.stored, self.window][: 1 + isinstance(self.mode, DeltaAttention)], np.int32)
            logits = self.session.run({"ids": part, "position": place})["logits"][-1]
            self.stored += len(part)
        return logits


def assert_close(found, expected):
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)


@modes
@pytest.mark.parametrize("context", [0, CONTEXT, 37, 8])
def test_the_state_has_the_same_tensors(library, path, mode, context):
    expected = with_attention(small_model(), mode, context or None)
    with Text(library, path, mode, context) as text:
        for tensor in expected.tensors:
            if tensor.storage is Storage.STATE:
                assert text.state(tensor.name) == tensor.size * tensor.dtype.numpy.itemsize
    names = {tensor.name for tensor in expected.tensors if tensor.storage is Storage.STATE}
    absent = {tensor.name for tensor in small_model().tensors if tensor.storage is Storage.STATE} - names
    with Text(library, path, mode, context) as text:
        assert all(text.state(name) is None for name in absent)


@modes
def test_reads_give_the_same_logits(library, path, mode):
    reference = Reference(mode)
    with Text(library, path, mode) as text:
        place = 0
        for count in (11, 1, 1, 8, 1, 9, 1):
            tokens = TOKENS[place : place + count]
            assert_close(text.read(tokens), reference.read(tokens))
            expected = skipped(mode, reference.session, reference.window).share
            assert text.library.es_text_skipped(text.text) == pytest.approx(expected, abs=0.01)
            place += count


@modes
@pytest.mark.parametrize("position", [33, 29, 20, 14, 3, 0])
def test_rewinding_goes_back_as_far(library, path, mode, position):
    expected = mode.rewind(position, mode.window_tokens(20), 34, CONTEXT, CHUNK)
    with Text(library, path, mode) as text:
        text.read(TOKENS[:20])
        text.read(TOKENS[20:34])
        assert library.es_text_rewind(text.text, position) == expected
        found = text.read(TOKENS[expected : position + 2])
    with Text(library, path, mode) as fresh:
        whole = fresh.read(TOKENS[: 20 if expected else position + 2])
        if expected:
            fresh.library.es_text_rewind(fresh.text, min(expected, 20))
            whole = fresh.read(TOKENS[min(expected, 20) : position + 2])
    assert_close(found, whole)


def test_caches_by_default(library, path):
    for attention, cache in ((0, DType.S8), (1, DType.F16)):
        name = "deltas" if attention else "k_cache"
        with Text(library, path, attention=attention, theta=0.6, window=0.05) as text:
            mode = DeltaAttention(0.6, 0.05, 0, cache) if attention else ExactAttention(cache)
            expected = with_attention(small_model(), mode)
            tensor = next(tensor for tensor in expected.tensors if tensor.name.endswith(name))
            assert text.state(tensor.name) == tensor.size * cache.numpy.itemsize


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"attention": 2}, "ARGUMENT_RANGE"),
        ({"attention": -1}, "ARGUMENT_RANGE"),
        ({"cache": 4}, "ATTENTION_CACHE"),
        ({"cache": 5}, "ATTENTION_CACHE"),
        ({"attention": 1, "cache": 3}, "ATTENTION_CACHE"),
        ({"attention": 1, "theta": -0.1}, "ATTENTION_THETA"),
        ({"attention": 1, "theta": float("nan")}, "ATTENTION_THETA"),
        ({"attention": 1, "theta": float("inf")}, "ATTENTION_THETA"),
        ({"attention": 1, "window": -0.1}, "ATTENTION_WINDOW"),
        ({"attention": 1, "window": 1.1}, "ATTENTION_WINDOW"),
        ({"attention": 1, "window": float("nan")}, "ATTENTION_WINDOW"),
        ({"attention": 1, "sinks": 65537}, "ATTENTION_SINKS"),
        ({"context": CHUNK - 1}, "CONTEXT_RANGE"),
        ({"context": 2**31}, "CONTEXT_RANGE"),
        ({"attention": 1, "context": CHUNK - 1}, "CONTEXT_RANGE"),
        ({"attention": 1, "context": 2**28}, "CONTEXT_RANGE"),
    ],
)
def test_wrong_options_are_named(library, path, options, code):
    text = Text(library, path, **options)
    assert text.status == code
    assert text.message
    library.es_model_close(text.model)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.15, 0.3, 0.35, 0.5, 1.0])
def test_windows_round_like_python(library, path, share):
    """A float of 0.05 is a little more than 0.05: 0.05 of 10 or 50 tokens must round down."""
    mode = DeltaAttention(10.0, share)
    for tokens in (5, 10, 15, 30, 35, 40):
        reference = Reference(mode)
        with Text(library, path, mode) as text:
            assert_close(text.read(TOKENS[:tokens]), reference.read(TOKENS[:tokens]))
            expected = skipped(mode, reference.session, reference.window).share
            assert text.library.es_text_skipped(text.text) == pytest.approx(expected, abs=0.005)

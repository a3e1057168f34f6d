"""Generation in the C core: the text, tokens and ends of the Python runtime, and what a caller may do in between."""

import ctypes
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from native_text import BYTES, CHUNK, CONTEXT, native_text, text_model

from edge_sparse.errors import BackendError, EdgeSparseError, InputError
from edge_sparse.llm.attention import DeltaAttention, ExactAttention
from edge_sparse.llm.loading import from_model
from edge_sparse.plan import DType
from edge_sparse.tokenizer import Tokenizer

PROMPT = "Once upon a time"
MODES = {
    "f32": (ExactAttention(DType.F32), {"cache": DType.F32}),
    "f16": (ExactAttention(DType.F16), {"cache": DType.F16}),
    "delta": (
        DeltaAttention(0.25, 0.125, 2, DType.F32),
        {"attention": 1, "theta": 0.25, "window": 0.125, "sinks": 2, "cache": DType.F32},
    ),
}
modes = pytest.mark.parametrize("mode", MODES)
SAMPLING = (
    {"temperature": 0.0},
    {"temperature": 1.0, "seed": 5},
    {"temperature": 0.75, "top_p": 0.875, "seed": 7},
    {"temperature": 1.5, "top_k": 40, "min_p": 0.03125, "repetition_penalty": 1.25, "seed": 2**64 - 1},
)


def pair(mode="f32", tokenizer=BYTES, **options):
    """Return the C core's language model and the reference's."""
    python_mode, native_options = MODES[mode]
    native = native_text(tokenizer, **native_options, **options)
    context = options.get("context")
    return native, from_model(text_model(tokenizer), python_mode, backend="reference", context=context)


def compare(native, python, prompt, *, roll=False, **options):
    """Generate with both and compare everything; return the result."""
    on_full = "roll" if roll else "error"
    full = False
    try:
        expected = python.generate(prompt, on_full=on_full, **{"max_tokens": None, **options})
    except InputError as error:
        expected, full = python._running, error.code == "CONTEXT_FULL"
    if full:
        with pytest.raises(InputError, match="CONTEXT_FULL"):
            native.generate(prompt, roll=roll, **options)
    else:
        native.generate(prompt, roll=roll, **options)
    assert native.text == expected.text
    result, stats = native.result, expected.stats
    assert native.finish == expected.finish
    for name in ("prompt_tokens", "reused_tokens", "generated_tokens", "rolls"):
        assert getattr(result, name) == getattr(stats, name), name
    return result


@modes
@pytest.mark.parametrize("sampling", SAMPLING)
def test_text_equals_that_of_python(mode, sampling):
    native, python = pair(mode)
    for prompt in (PROMPT, "", "Wörld", [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7]):
        compare(native, python, prompt, max_tokens=20, **sampling)


@modes
def test_prompts_are_reused_and_contexts_roll(mode):
    native, python = pair(mode)
    texts = (PROMPT, PROMPT + ", there", "Once upon", PROMPT + ", there was", "x", "x" * 30, PROMPT * 2)
    for seed, prompt in enumerate(texts):
        compare(native, python, prompt, max_tokens=9, temperature=1.0, seed=seed)
    for seed in range(3):
        result = compare(native, python, PROMPT, max_tokens=120, roll=True, temperature=1.0, seed=seed)
        assert result.rolls or native.finish == "end"
    assert abs(native.skipped() - python.skipped().share) < 1e-9


def test_a_full_context_ends_the_answer():
    native, python = pair()
    for options in ({}, {"max_tokens": 200}):
        compare(native, python, PROMPT, temperature=0.0, **options)
        assert native.finish == "context"
    with pytest.raises(InputError, match="PROMPT_TOO_LONG"):
        native.generate("x" * CONTEXT)
    native, python = pair(context=CHUNK)
    compare(native, python, "abcdefg", max_tokens=30, roll=True, temperature=1.0, seed=3)


@pytest.mark.parametrize("seed", range(40))
def test_stop_texts_and_broken_characters(seed):
    # A vocabulary of text pieces, so that tokens hold stop texts, parts of them and parts of characters.
    chance = np.random.default_rng(seed)
    pieces = ["".join(chance.choice(list("abc é"), chance.integers(1, 6))).encode() for _ in range(200)]
    pieces += [piece[: len(piece) // 2 + 1] for piece in pieces[:56]]
    native, python = pair(tokenizer=Tokenizer(3, tuple(pieces), eos=0, temperature=1.0))
    stops = ["".join(chance.choice(list("abc é"), chance.integers(1, 5))) for _ in range(seed % 4)]
    pieces = []
    compare(native, python, [1, 2, 3], max_tokens=40, seed=seed, stop=stops)
    native.generate([1, 2, 3], max_tokens=40, seed=seed, stop=stops, piece=pieces.append)
    assert "".join(pieces) == native.text
    assert all(pieces)


def test_callbacks_cancel_and_the_model_goes_on():
    native, python = pair("delta")
    pieces = []
    whole = python.generate(PROMPT, max_tokens=12, temperature=1.0, seed=1).text

    def third(piece):
        pieces.append(piece)
        return len(pieces) == 3

    native.generate(PROMPT, max_tokens=12, temperature=1.0, seed=1, piece=third)
    assert native.finish == "cancelled"
    assert len(pieces) == 3
    assert whole.startswith(native.text)
    assert native.generate(PROMPT, max_tokens=12, temperature=1.0, seed=1) == whole


@modes
def test_runs_are_cancelled_from_outside(mode):
    native, python = pair(mode)
    for seed in range(5):
        with pytest.raises(BackendError, match="CANCELLED"):
            native.generate(PROMPT, max_tokens=20, temperature=1.0, seed=seed, piece=lambda _: native.cancel())
        assert native.finish == "cancelled"
        expected = python.generate(PROMPT + "!", max_tokens=12, temperature=1.0, seed=seed).text
        assert native.generate(PROMPT + "!", max_tokens=12, temperature=1.0, seed=seed) == expected
    # One that comes between generations is not meant for the next.
    native.cancel()
    assert native.generate(PROMPT + "!", max_tokens=12, temperature=1.0, seed=4) == expected


def test_another_thread_cancels_an_endless_answer():
    native = native_text(Tokenizer(1, (), temperature=1.0))
    begun, codes = threading.Event(), []

    def endless():
        try:
            native.generate(PROMPT, roll=True, piece=lambda _: begun.set())
        except BackendError as error:
            codes.append(error.code)

    thread = threading.Thread(target=endless)
    thread.start()
    assert begun.wait(60)
    native.cancel()
    thread.join(60)
    assert codes == ["CANCELLED"]


def test_one_call_at_a_time():
    native, codes = native_text(), []

    def inside(_):
        for call in (lambda: native.encode("x"), lambda: native.decode([1]), lambda: native.read([1]), native.generate):
            with pytest.raises(EdgeSparseError) as error:
                call()
            codes.append(error.value.code)
        return True

    # The wrapper keeps the latest text: only codes are looked at.
    native.generate(PROMPT, max_tokens=3, temperature=1.0, piece=inside)
    assert codes == ["SESSION_BUSY"] * 4


@modes
def test_single_steps_and_rewinding(mode):
    native, python = pair(mode)
    tokens, cache = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], python._cache
    cache.go_back(tokens)
    np.testing.assert_allclose(native.read(tokens), cache.read(tokens)[-1], rtol=1e-4, atol=1e-5)
    for keep, more in ((9, [40, 41, 42]), (12, [7]), (3, list(range(20))), (0, [3, 4])):
        kept = native.rewind(keep)
        assert kept <= keep
        text = [*tokens[:keep], *more]
        tokens, fresh = text, native_text(**MODES[mode][1])
        logits = native.read([*text[kept:]])
        if mode != "delta":  # its window is that of the text that the caches began with
            np.testing.assert_allclose(logits, fresh.read(text), rtol=1e-4, atol=1e-5)
    assert native.rewind(0) == 0
    assert native.rewind(5) == 0


@modes
def test_a_session_that_was_reset_holds_no_tokens(mode):
    native, _ = pair(mode)
    text = native.generate(PROMPT, max_tokens=8, temperature=0.0)
    logits = pair(mode)[0].read([1, 2, 3])
    native.library.es_session_reset.argtypes = [ctypes.c_void_p]
    native.library.es_session_reset(native.library.es_text_session(native.handle))
    assert native.generate(PROMPT, max_tokens=8, temperature=0.0) == text
    assert native.result.reused_tokens == 0
    native.library.es_session_reset(native.library.es_text_session(native.handle))
    np.testing.assert_array_equal(native.read([1, 2, 3]), logits)


def test_a_closed_model_says_so():
    native = native_text()
    native.close()
    native.close()
    for call in (lambda: native.encode("a"), lambda: native.generate("a"), native.skipped, native.cancel):
        with pytest.raises(BackendError, match="SESSION_CLOSED"):
            call()


def test_what_is_out_of_range_is_refused():
    native = native_text(tokenizer=Tokenizer(1, ()))
    calls = [
        ("PROMPT_EMPTY", lambda: native.generate("")),
        ("PROMPT_EMPTY", lambda: native.generate([])),
        ("TOKEN_RANGE", lambda: native.generate([1, 256])),
        ("TOKEN_RANGE", lambda: native.generate([-1])),
        ("TOKEN_RANGE", lambda: native.read([256])),
        ("CONTEXT_FULL", lambda: native.read([1] * (CONTEXT + 1))),
        ("PROMPT_TOO_LONG", lambda: native.generate([1] * (CONTEXT + 1))),
        ("STOP_TEXT", lambda: native.generate("x", stop=[""])),
        ("STOP_TEXT", lambda: native.generate("x", stop=["x" * 257])),
        ("STOP_TEXT", lambda: native.generate("x", stop=["x"] * 17)),
        ("ARGUMENT_RANGE", lambda: native.decode([65] * 9, capacity=8)),
        ("ARGUMENT_RANGE", lambda: native.read([])),
    ]
    wrong = {"temperature": (-1, np.nan, np.inf), "top_p": (0, 1.5), "min_p": (-0.5, 1), "repetition_penalty": (0,)}
    for name, values in wrong.items():
        calls += [("SAMPLING_RANGE", lambda n=name, v=value: native.generate("x", **{n: v})) for value in values]
    for code, call in calls:
        with pytest.raises(EdgeSparseError) as error:
            call()
        assert error.value.code == code
    assert native.rewind(99) == 0
    options = {"context": 7, "threads": 1000, "cache": DType.S32, "prompt_bytes": 2**31}
    codes = {
        "context": "CONTEXT_RANGE",
        "threads": "THREADS_RANGE",
        "cache": "ATTENTION_CACHE",
        "prompt_bytes": "ARGUMENT_RANGE",
    }
    for name, value in options.items():
        with pytest.raises(EdgeSparseError) as error:
            native_text(**{name: value})
        assert error.value.code == codes[name]


def test_tokens_alone_need_no_tokenizer():
    native = native_text(tokenizer=None)
    native.generate([1, 2, 3], max_tokens=5, temperature=0.0)
    assert (native.finish, native.result.generated_tokens, native.text) == ("length", 5, "")
    with pytest.raises(EdgeSparseError, match="TOKENIZER_MISSING"):
        native.generate("x")


def test_threads_do_not_change_the_text():
    texts = {native_text(threads=n).generate(PROMPT, max_tokens=20, temperature=1.0, seed=3) for n in (1, 2, 3)}
    assert len(texts) == 1


@pytest.mark.skipif(not os.environ.get("EDGE_SPARSE_DATA"), reason="EDGE_SPARSE_DATA is not set")
@pytest.mark.parametrize("attention", ["exact", "delta"])
def test_real_stories(tmp_path, attention):
    from text_api import NativeText

    from edge_sparse.cli import main
    from edge_sparse.format.reader import read_model
    from edge_sparse.llm import load

    data = Path(os.environ["EDGE_SPARSE_DATA"])
    path, source = tmp_path / "stories.egs", data / "llm" / "stories260K"
    arguments = ["convert", str(source / "stories260K.bin"), "-o", str(path), "--tokenizer", str(source / "tok512.bin")]
    assert main(arguments) == 0
    native = NativeText(read_model(path), attention=int(attention == "delta"))
    python = load(path, attention=attention)
    if attention == "exact":
        expected = json.loads((data / "reference.json").read_text())["stories260K_greedy_from_BOS_200_tokens"]
        exact = NativeText(read_model(path), cache=DType.F32)
        assert exact.generate("", max_tokens=200, temperature=0.0) == expected
    for prompt, options in (
        ("", {"temperature": 0.0}),
        ("Once upon a time, there was a little girl", {"temperature": 0.0}),
        ("Lily and Tom", {"temperature": 0.8, "top_p": 0.95, "seed": 42}),
    ):
        found = native.generate(prompt, max_tokens=200, **options)
        assert found == python.generate(prompt, max_tokens=200, **options).text

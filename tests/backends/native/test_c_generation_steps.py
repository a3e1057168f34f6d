"""Generation in steps gives the text, pieces and result of generation at once; wrong calls in between say so."""

import numpy as np
import pytest
from native_text import BYTES, CHUNK, native_text

from edge_sparse.errors import BackendError, EdgeSparseError, InputError
from edge_sparse.plan import DType
from edge_sparse.tokenizer import Tokenizer

PROMPT = "Once upon a time"
OPTIONS = {
    "f32": {"cache": DType.F32},
    "delta": {"attention": 1, "theta": 0.25, "window": 0.125, "sinks": 2, "cache": DType.F32},
}
NAMES = ("finish", "prompt_tokens", "reused_tokens", "generated_tokens", "rolls")
modes = pytest.mark.parametrize("mode", OPTIONS)


def at_once(text, prompt, **options):
    """Return the pieces, the code of the error and the result."""
    pieces, code = [], ""
    try:
        text.generate(prompt, piece=lambda piece: pieces.append(piece), **options)
    except EdgeSparseError as error:
        code = error.code
    return pieces, code, [getattr(text.result, name) for name in NAMES]


def in_steps(text, prompt, *, end=True, **options):
    """Return the same of a generation in steps, and how many steps there were."""
    pieces, code, steps, done = [], "", 0, False
    text.begin(prompt, **options)
    while not done:
        shown = text.text
        try:
            _, done = text.next()
        except EdgeSparseError as error:
            code, done = error.code, True
        pieces += [text.text[len(shown) :]] if len(text.text) > len(shown) else []
        steps += 1
    if end:
        text.end()
    return (pieces, code, [getattr(text.result, name) for name in NAMES]), steps


def code_of(call, *arguments):
    """Return the code of the error that a call raises."""
    with pytest.raises(EdgeSparseError) as error:
        call(*arguments)
    return error.value.code


@modes
def test_steps_give_what_one_call_gives(mode):
    first, second = (native_text(BYTES, **OPTIONS[mode]) for _ in range(2))
    cases = [
        (PROMPT, {"max_tokens": 20, "temperature": 0.0}),
        (PROMPT + ", there", {"max_tokens": 20, "temperature": 1.0, "seed": 5}),
        ("", {"max_tokens": 5, "temperature": 0.75, "top_p": 0.875, "seed": 7}),
        ([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], {"max_tokens": 9, "temperature": 1.0, "repetition_penalty": 1.25}),
        (PROMPT, {"max_tokens": 120, "roll": True, "temperature": 1.0, "seed": 3}),
        (PROMPT, {"temperature": 0.0}),
        (PROMPT, {"max_tokens": 500, "temperature": 0.0}),
    ]
    for prompt, options in cases:
        expected = at_once(first, prompt, **options)
        found, steps = in_steps(second, prompt, **options)
        assert found == expected
        chunks = -(-(second.result.prompt_tokens - second.result.reused_tokens) // CHUNK)
        # Reading again after a roll takes more.
        assert second.result.rolls or steps <= chunks + second.result.generated_tokens
        assert steps >= chunks + second.result.generated_tokens - 1


@pytest.mark.parametrize("seed", range(20))
def test_stop_texts_and_broken_characters(seed):
    chance = np.random.default_rng(seed)
    pieces = ["".join(chance.choice(list("abc é"), chance.integers(1, 6))).encode() for _ in range(200)]
    pieces += [piece[: len(piece) // 2 + 1] for piece in pieces[:56]]
    tokenizer = Tokenizer(3, tuple(pieces), eos=0, temperature=1.0)
    stops = ["".join(chance.choice(list("abc é"), chance.integers(1, 5))) for _ in range(seed % 4)]
    options = {"max_tokens": 40, "seed": seed, "stop": stops}
    found, _ = in_steps(native_text(tokenizer), [1, 2, 3], **options)
    assert found == at_once(native_text(tokenizer), [1, 2, 3], **options)


@modes
def test_a_generation_may_end_at_any_step(mode):
    whole = native_text(**OPTIONS[mode]).generate(PROMPT, max_tokens=12, temperature=1.0, seed=1)
    for steps in (0, 1, 2, 3, 9):
        text = native_text(**OPTIONS[mode])
        text.begin(PROMPT, max_tokens=12, temperature=1.0, seed=1)
        for _ in range(steps):
            text.next()
        text.end()
        assert text.finish == "cancelled"
        assert whole.startswith(text.text)
        assert text.generate(PROMPT, max_tokens=12, temperature=1.0, seed=1) == whole


def test_nothing_else_comes_in_between():
    text = native_text()
    text.begin(PROMPT, max_tokens=3, temperature=0.0)
    for _ in range(2):
        calls = (lambda: text.encode("x"), lambda: text.decode([1]), lambda: text.read([1]), text.generate, text.begin)
        assert [code_of(call) for call in calls] == ["SESSION_BUSY"] * 5
        assert text.rewind(0) in (0, CHUNK)
        text.next()
    text.end()
    fresh = native_text()
    assert text.generate(PROMPT, max_tokens=3, temperature=0.0) == fresh.generate(PROMPT, max_tokens=3, temperature=0.0)


def test_steps_need_a_beginning():
    text = native_text()
    assert code_of(text.next) == "GENERATION_ABSENT"
    assert code_of(text.end) == "GENERATION_ABSENT"
    for wrong in ({"temperature": -1.0}, {"stop": [""]}):
        with pytest.raises(InputError):
            text.begin(PROMPT, **wrong)
        assert code_of(text.next) == "GENERATION_ABSENT"
    in_steps(text, PROMPT, max_tokens=2, temperature=0.0)
    assert code_of(text.next) == "GENERATION_ABSENT"


def test_after_the_last_step_nothing_comes():
    text = native_text()
    (_, code, _), _ = in_steps(text, PROMPT, max_tokens=500, temperature=0.0, end=False)
    shown = text.text
    assert code == "CONTEXT_FULL"
    assert [code_of(text.next) for _ in range(3)] == ["CONTEXT_FULL"] * 3
    assert text.text == shown
    text.end()
    assert text.finish == "context"


@pytest.mark.parametrize("interrupt", ["cancel", "reset"])
def test_interrupted_between_steps(interrupt):
    text = native_text()
    expected = native_text().generate(PROMPT, max_tokens=4, temperature=0.0)
    text.begin(PROMPT, max_tokens=20, temperature=0.0)
    for _ in range(4):
        text.next()
    getattr(text, interrupt)()
    with pytest.raises(BackendError, match="CANCELLED"):
        text.next()
    text.end()
    assert text.finish == "cancelled"
    assert text.generate(PROMPT, max_tokens=4, temperature=0.0) == expected

"""Generation: prompts in chunks, reuse, rolling, cancelling, stop strings, and every bad input by its code."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from edge_sparse.converters.decoder.random_model import random_model
from small_decoder import BYTES, CHUNK, CONFIG, CONTEXT, greedy, open_small, slow_logits, small_model

import edge_sparse as es
from edge_sparse.errors import InputError
from edge_sparse.format.writer import write_model
from edge_sparse.llm.attention import DeltaAttention, ExactAttention
from edge_sparse.llm.loading import from_model
from edge_sparse.llm.perplexity import token_losses
from edge_sparse.llm.token_cache import TokenCache
from edge_sparse.plan import DType
from edge_sparse.tokenizer import Tokenizer

PROMPT = [0, *b"some text to go on with"]


@pytest.fixture(scope="module")
def model():
    with open_small() as model:
        yield model


def code_of(call, *arguments, **options):
    with pytest.raises(InputError) as error:
        call(*arguments, **options)
    assert error.value.hint
    return error.value.code


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_prompts_in_chunks_give_the_tokens_of_the_slow_way(model, length):
    prompt = PROMPT[:length]
    assert model.generate(prompt, max_tokens=6).tokens == greedy(prompt, 6)


def test_text_and_tokens_are_the_same_prompt(model):
    text = bytes(PROMPT[1:]).decode()
    assert model.generate(text, max_tokens=5).tokens == model.generate(PROMPT, max_tokens=5).tokens


def test_an_empty_prompt_is_bos_alone(model):
    assert model.generate("", max_tokens=4).tokens == greedy([0], 4)
    with open_small(tokenizer=Tokenizer(1, (), temperature=0.0)) as without:
        assert code_of(without.generate, "", max_tokens=4) == "PROMPT_EMPTY"


def test_streams_are_the_whole_text(model):
    whole = model.generate(PROMPT, max_tokens=12, temperature=1.0, seed=3)
    stream = model.generate(PROMPT, max_tokens=12, temperature=1.0, seed=3, stream=True)
    assert stream.text == ""
    pieces = list(stream)
    assert "".join(pieces) == stream.text == whole.text == str(whole)
    assert stream.tokens == whole.tokens
    assert stream.finish == "length"
    assert all(pieces)


def test_seeds_repeat_and_differ(model):
    texts = {model.generate(PROMPT, max_tokens=12, temperature=1.0, seed=seed).text for seed in (1, 1, 2, 3)}
    assert len(texts) == 3
    drawn = model.generate(PROMPT, max_tokens=12, temperature=1.0)
    again = model.generate(PROMPT, max_tokens=12, temperature=1.0, seed=drawn.stats.seed)
    assert again.tokens == drawn.tokens


def test_log_probabilities_are_those_of_the_model(model):
    result = model.generate(PROMPT, max_tokens=3, logprobs=True)
    for place, token in enumerate(result.tokens):
        logits = slow_logits([*PROMPT, *result.tokens[:place]]).astype(np.float64)
        assert result.logprobs[place] == pytest.approx(logits[token] - np.log(np.exp(logits).sum()), abs=1e-4)


def test_what_was_read_is_not_read_again(model):
    first = model.generate(PROMPT, max_tokens=4)
    # The answer's last token was never fed.
    longer = [*PROMPT, *first.tokens, 65, 66]
    second = model.generate(longer, max_tokens=4)
    assert second.stats.reused_tokens == len(PROMPT) + 3
    assert second.tokens == greedy(longer, 4)
    changed = [*PROMPT[:10], 1, *PROMPT[11:]]
    third = model.generate(changed, max_tokens=4)
    assert third.stats.reused_tokens == 10
    assert third.tokens == greedy(changed, 4)
    same = model.generate(changed, max_tokens=4)
    assert same.stats.reused_tokens == len(changed) - 1
    assert same.tokens == third.tokens


def test_stop_strings_and_ends(model):
    free = model.generate(PROMPT, max_tokens=20, temperature=1.0, seed=8)
    middle = free.text[3:6]
    stopped = model.generate(PROMPT, max_tokens=20, temperature=1.0, seed=8, stop=[middle])
    assert stopped.finish == "stop"
    assert stopped.text == free.text[: free.text.index(middle)]
    end = free.tokens[7]
    with open_small(tokenizer=Tokenizer(1, (), bos=0, eos=end)) as ending:
        short = ending.generate(PROMPT, max_tokens=20, temperature=1.0, seed=8)
    assert short.finish == "end"
    assert short.tokens == free.tokens[: free.tokens.index(end)]


def test_a_full_context_is_an_error_that_keeps_the_text(model):
    stream = model.generate(PROMPT, max_tokens=100, stream=True)
    assert code_of(list, stream) == "CONTEXT_FULL"
    # The last token needs no room, because nothing is asked of the model after it.
    assert len(stream.tokens) == CONTEXT - len(PROMPT) + 1
    assert stream.text
    unbounded = model.generate(PROMPT)
    assert unbounded.finish == "context"
    assert unbounded.tokens == stream.tokens


def test_a_rolling_context_goes_on(model):
    result = model.generate(PROMPT, max_tokens=60, on_full="roll")
    assert len(result.tokens) == 60
    assert result.stats.rolls == 2
    full = [*PROMPT, *result.tokens][:CONTEXT]
    rest = full[4:]
    after = [*full[:4], *rest[len(rest) // 2 :], result.tokens[CONTEXT - len(PROMPT)]]
    place = CONTEXT - len(PROMPT) + 1
    assert result.tokens[place : place + 3] == greedy(after, 3)
    assert code_of(model.generate, PROMPT, on_full="roll") == "MAX_TOKENS_RANGE"


def test_cancelling_leaves_the_model_usable(model):
    expected = model.generate(PROMPT, max_tokens=8).tokens
    stream = model.generate(PROMPT, max_tokens=8, stream=True)
    next(stream)
    stream.close()
    assert stream.finish == "cancelled"
    assert len(stream.tokens) < 8
    assert list(stream) == []
    assert model.generate(PROMPT, max_tokens=8).tokens == expected
    older = model.generate(PROMPT, max_tokens=8, stream=True)
    next(older)
    assert model.generate([0, 65], max_tokens=3).tokens == greedy([0, 65], 3)
    assert list(older) == []


def test_an_interrupted_run_leaves_the_model_usable(model, monkeypatch):
    expected = model.generate(PROMPT, max_tokens=8).tokens
    session = model.session
    run, calls = session.run, []

    def interrupted(inputs):
        outputs = run(inputs)
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return outputs

    monkeypatch.setattr(session, "run", interrupted)
    stream = model.generate([*PROMPT[:3], *PROMPT], max_tokens=20, stream=True)
    with pytest.raises(KeyboardInterrupt):
        list(stream)
    assert stream.finish == "cancelled"
    monkeypatch.undo()
    assert model.generate(PROMPT, max_tokens=8).tokens == expected


def test_delta_attention_goes_back_as_its_mode_allows():
    mode = DeltaAttention(0.0, 0.3)
    with open_small(mode) as model, open_small(mode) as fresh:
        first = model.generate(PROMPT, max_tokens=12)
        assert model._cache.window == mode.window_tokens(len(PROMPT))
        other = [*PROMPT[:13], 1, 2, 3, 4]
        second = model.generate(other, max_tokens=6)
        assert 0 < second.stats.reused_tokens <= 13
        assert model._cache.window == mode.window_tokens(len(PROMPT))
        fresh._cache.window = 1
        expected = fresh.generate(other, max_tokens=6)
    # With theta 0 keys are exact but for float16, so windows of other lengths choose the same tokens here.
    assert second.tokens == expected.tokens
    assert first.tokens != second.tokens


def test_delta_attention_tells_what_it_skipped():
    with open_small(DeltaAttention(1e9, 0.05)) as model:
        model.generate(PROMPT, max_tokens=12)
        found = model.skipped()
        assert found.outside > 0.9
        assert "delta attention" in found.text
    with open_small() as exact:
        exact.generate(PROMPT, max_tokens=2)
        assert exact.skipped().share == 0


@pytest.mark.parametrize(
    ("prompt", "options", "code"),
    [
        ([0] * (CONTEXT + 1), {}, "PROMPT_TOO_LONG"),
        ([0, 256], {}, "TOKEN_RANGE"),
        ([-1], {}, "TOKEN_RANGE"),
        ("a\udc80", {}, "TEXT_UTF8"),
        ("a", {"temperature": -1.0}, "SAMPLING_RANGE"),
        ("a", {"top_p": 1.5}, "SAMPLING_RANGE"),
        ("a", {"max_tokens": 0}, "MAX_TOKENS_RANGE"),
        ("a", {"on_full": "wait"}, "ON_FULL"),
        ("a", {"stop": "text"}, "STOP_TEXT"),
        ("a", {"stop": [""]}, "STOP_TEXT"),
    ],
)
def test_bad_requests_are_named_before_anything_runs(model, prompt, options, code):
    assert code_of(model.generate, prompt, stream=True, **options) == code


def test_a_prompt_that_fills_the_context_gives_one_token(model):
    prompt = [0, *[65] * (CONTEXT - 1)]
    result = model.generate(prompt)
    assert result.tokens == greedy(prompt, 1)
    assert result.finish == "context"


def test_opening(tmp_path):
    path = tmp_path / "small.egs"
    write_model(small_model(), path)
    with es.llm.load(path, cache="f32", backend="reference", context=20) as model:
        assert model.context == 20
        assert model.generate(PROMPT[:10], max_tokens=5).tokens == greedy(PROMPT[:10], 5)
        assert code_of(model.generate, [0] * 21) == "PROMPT_TOO_LONG"
    assert code_of(es.llm.load, path, attention="sparse") == "ATTENTION_UNKNOWN"
    assert code_of(es.llm.load, path, cache="s3") == "ATTENTION_CACHE"
    assert code_of(es.llm.load, path, attention="delta", theta=-1.0) == "ATTENTION_THETA"
    assert code_of(es.llm.load, path, context=2) == "CONTEXT_RANGE"
    other = Path(__file__).parent.parent / "vectors" / "valid" / "rows.egs"
    assert code_of(es.llm.load, other) == "NO_LANGUAGE_MODEL"


def test_tokenizers_must_fit_the_model():
    large = Tokenizer(2, tuple(b"%d" % n for n in range(300)), (0.0,) * 300)
    assert code_of(open_small, tokenizer=large) == "TOKENIZER_MISMATCH"
    with open_small(tokenizer=None) as model:
        assert code_of(model.generate, "text") == "TOKENIZER_MISSING"
        assert model.generate(PROMPT, max_tokens=3, temperature=0).tokens == greedy(PROMPT, 3)


@pytest.mark.parametrize("window", [None, 9, 2])
def test_perplexity_is_the_mean_loss_of_the_slow_way(model, window):
    text = "a text of more than one window, so that the caches start anew again and again"
    result = model.perplexity(text, window=window)
    size = (window or CONTEXT) - 1
    data, losses = list(text.encode()), []
    for first in range(0, len(data), size):
        part = [0, *data[first : first + size]]
        for place in range(1, len(part)):
            logits = slow_logits(part[:place]).astype(np.float64)
            losses.append(np.log(np.exp(logits).sum()) - logits[part[place]])
            if window is None and place > 6:
                break
        if window is None:
            break
    if window is not None:
        assert (result.tokens, result.windows) == (len(data), -(-len(data) // size))
        assert result.loss == pytest.approx(np.mean(losses), abs=1e-4)
    else:
        cache = TokenCache(es.Session.from_model(model.model, backend="reference", plan="score"), model.mode, CONTEXT)
        assert token_losses(cache, [0, *data[:20]])[: len(losses)] == pytest.approx(losses, abs=1e-4)


def test_perplexity_without_bos_predicts_all_but_the_first():
    with open_small(tokenizer=Tokenizer(1, ())) as model:
        result = model.perplexity("abcdefghij", window=4)
        assert (result.tokens, result.windows) == (9, 3)
        assert code_of(model.perplexity, "a") == "TEXT_TOO_SHORT"
        assert code_of(model.perplexity, "abc", window=1) == "WINDOW_RANGE"
        assert code_of(model.perplexity, "abc", window=CONTEXT + 1) == "WINDOW_RANGE"


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_greedy_text_does_not_depend_on_threads(threads):
    pytest.importorskip("numba")
    with from_model(small_model(BYTES), ExactAttention(DType.F32), threads=threads) as model:
        assert model.session.backend == "numba"
        tokens = model.generate(PROMPT, max_tokens=20).tokens
    assert tokens == greedy(PROMPT, 20)


@pytest.mark.parametrize("mode", [ExactAttention(DType.S8), DeltaAttention(0.3, 0.1)], ids=["s8", "delta"])
def test_rounded_models_do_not_depend_on_threads(mode):
    pytest.importorskip("numba")
    rounded = replace(random_model(CONFIG, dtype="s4", sparsity=0.5, chunk=CHUNK, context=CONTEXT), tokenizer=BYTES)
    answers = set()
    for threads in (1, 2, 3):
        with from_model(rounded, mode, threads=threads) as model:
            answers.add(tuple(model.generate(PROMPT, max_tokens=20, temperature=0.5, seed=1).tokens))
    assert len(answers) == 1

"""DeltaAttention rewrites a model that was converted for exact attention, and reports what it skips."""

import sys
from pathlib import Path

import numpy as np
import pytest

from edge_sparse import Session
from edge_sparse.errors import InputError
from edge_sparse.format.reader import parse_model
from edge_sparse.format.writer import model_bytes
from edge_sparse.llm.delta import DeltaAttention, delta_sparsity
from edge_sparse.plan import DType

sys.path.append(str(Path(__file__).parent.parent / "format"))

from tiny_decoder import CAPACITY, CHUNK, HEAD, KV_HEADS, LAYERS, VOCABULARY, tiny_decoder, twin

TOKENS = [int(token) for token in np.random.default_rng(3).integers(0, VOCABULARY, CAPACITY)]


def logits(session, sizes, window=2):
    results, position = [], 0
    for size in sizes:
        numbers = np.array([position, window], np.int32)[: session.inputs[1].shape[0]]
        ids = np.array(TOKENS[position : position + size], np.int32)
        results.append(session.run({"ids": ids, "position": numbers})["logits"][0])
        position += size
    return np.array(results)


def test_theta_zero_computes_what_exact_attention_does():
    model = DeltaAttention(theta=0.0, cache=DType.F32).rewrite(tiny_decoder())
    session = Session.from_model(model, backend="reference")
    np.testing.assert_allclose(logits(session, [1] * CAPACITY), twin(tiny_decoder(), TOKENS), rtol=1e-4, atol=1e-5)


def test_a_threshold_changes_the_result_a_little():
    exact = twin(tiny_decoder(), TOKENS)
    session = Session.from_model(DeltaAttention(theta=0.2).rewrite(tiny_decoder()), backend="reference")
    found = logits(session, [1] * CAPACITY)
    assert 1e-4 < np.abs(found - exact).max() < 1.0


def test_rewritten_models_obey_the_format():
    mode = DeltaAttention(sinks=2, window=0.5)
    model = mode.rewrite(tiny_decoder(), context=20)
    again = parse_model(model_bytes(model))
    assert {t.name: t.shape for t in again.tensors if t.name.startswith("0.") and t.storage.name == "STATE"} == {
        "0.deltas": (KV_HEADS, 20 * HEAD),
        "0.v_cache": (20, KV_HEADS * HEAD),
        "0.exact_keys": (1 + 2 + 10 + CHUNK, KV_HEADS * HEAD),
        "0.marks": (KV_HEADS, 22, 2),
    }


def test_sparsity_is_a_mean_over_layers_heads_and_tokens():
    session = Session.from_model(DeltaAttention(theta=0.3).rewrite(tiny_decoder()), backend="reference")
    logits(session, (6, 5), window=4)
    found = delta_sparsity(session, 4)
    assert (found.stored, found.tokens, len(found.layers)) == (11, 8, LAYERS)
    changed = [session.state(f"{layer}.marks").reshape(KV_HEADS, -1, 2)[:, 2:10, 1] for layer in range(LAYERS)]
    ones = sum(bin(word & 0xFFFFFFFF).count("1") for word in np.array(changed).ravel().tolist())
    assert found.outside == pytest.approx(1 - ones / (LAYERS * KV_HEADS * 8 * HEAD))
    assert found.of_all == pytest.approx(found.outside * 7 / 11)
    assert 0 < found.outside < 1


def test_an_empty_cache_skips_nothing():
    session = Session.from_model(DeltaAttention().rewrite(tiny_decoder()), backend="reference")
    assert delta_sparsity(session, 4).outside == 0


def test_scores_stay_inside_the_bound():
    random = np.random.default_rng(0)
    queries, keys = random.standard_normal((5, 16)), random.standard_normal((7, 16))
    mode = DeltaAttention(theta=0.25)
    moved = keys + random.choice([-0.25, 0.25], keys.shape)
    assert (np.abs(queries @ (moved - keys).T * 0.5) <= mode.score_bound(queries, 0.5)[:, None] + 1e-12).all()


def test_windows_and_rewinding():
    mode = DeltaAttention(window=0.1)
    assert [mode.window_tokens(n) for n in (0, 1, 14, 16, 100)] == [1, 1, 1, 2, 10]
    # The ring holds 0.1 * 50 + 6 = 11 keys: tokens 19 to 29 of 30.
    assert [mode.rewind(p, 4, 30, 50, 6) for p in (30, 25, 20, 19, 18, 16, 3)] == [30, 25, 20, 16, 16, 16, 0]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"theta": -0.1}, "ATTENTION_THETA"),
        ({"theta": float("nan")}, "ATTENTION_THETA"),
        ({"window": 1.5}, "ATTENTION_WINDOW"),
        ({"sinks": -1}, "ATTENTION_SINKS"),
        ({"cache": DType.S8}, "ATTENTION_CACHE"),
    ],
)
def test_settings_out_of_range(options, code):
    with pytest.raises(InputError) as error:
        DeltaAttention(**options)
    assert error.value.code == code


def test_a_context_smaller_than_a_run():
    with pytest.raises(InputError) as error:
        DeltaAttention().rewrite(tiny_decoder(), context=CHUNK - 1)
    assert error.value.code == "CONTEXT_RANGE"

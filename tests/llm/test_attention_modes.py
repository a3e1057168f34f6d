"""``with_attention``: exact attention with every cache type, its errors and its bounds."""

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_sparse import Session
from edge_sparse.errors import FileFormatError, InputError
from edge_sparse.format.reader import parse_model
from edge_sparse.format.writer import model_bytes
from edge_sparse.llm.attention import DeltaAttention, ExactAttention, with_attention
from edge_sparse.plan import CACHE_BLOCK, DType, Op, Storage

sys.path.append(str(Path(__file__).parent.parent / "format"))
sys.path.append(str(Path(__file__).parent.parent / "vectors"))

from tiny_decoder import CAPACITY, CHUNK, HEAD, KV_HEADS, LAYERS, VOCABULARY, tiny_decoder, twin
from tiny_models import two_plans

TOKENS = np.random.default_rng(3).integers(0, VOCABULARY, CAPACITY).astype(np.int32)


def state_of(model):
    return [tensor for tensor in model.tensors if tensor.storage is Storage.STATE]


@pytest.mark.parametrize(("cache", "tolerance"), [(DType.F32, 1e-5), (DType.F16, 1e-3), (DType.S8, 5e-2)])
def test_rounded_caches_change_little(cache, tolerance):
    model = with_attention(tiny_decoder(), ExactAttention(cache))
    session = Session.from_model(model, backend="reference")
    expected = twin(model, list(TOKENS))
    for position in range(CAPACITY):
        inputs = {"ids": TOKENS[position : position + 1], "position": np.array([position], np.int32)}
        error = np.abs(session.run(inputs)["logits"][0] - expected[position]).max()
        assert error < tolerance * np.abs(expected).max()


@pytest.mark.parametrize("context", [None, 6, 16, 17, 1000])
def test_state_has_room_for_the_context_in_whole_blocks(context):
    model = with_attention(tiny_decoder(), ExactAttention(DType.S8), context)
    rows = -(-(context or CAPACITY) // CACHE_BLOCK) * CACHE_BLOCK
    state = state_of(model)
    assert len(state) == 4 * LAYERS
    assert {tensor.shape for tensor in state} == {(rows, KV_HEADS * HEAD), (rows, KV_HEADS)}
    ends = sorted(tensor.extent for tensor in state)
    assert all(end <= begin for (_, end), (begin, _) in itertools.pairwise(ends))
    assert ends[-1][1] <= model.state_bytes


@pytest.mark.parametrize("mode", [ExactAttention(DType.S8), DeltaAttention()])
def test_plans_share_their_caches(mode):
    model = tiny_decoder()
    score = replace(model.plans[0], name="score")
    model = with_attention(replace(model, plans=(*model.plans, score)), mode)
    first, second = ([step.inputs for step in plan.steps if len(step.inputs) >= 6] for plan in model.plans)
    assert first == second
    assert len(state_of(model)) == 4 * LAYERS
    assert model.plans[0].tensors is model.plans[1].tensors


def test_a_rewritten_model_is_a_valid_file():
    for mode in (ExactAttention(DType.F16), ExactAttention(DType.S8), DeltaAttention()):
        model = with_attention(tiny_decoder(), mode, 40)
        assert parse_model(model_bytes(model)).state_bytes == model.state_bytes


def test_going_back_to_floats_drops_the_scales():
    model = with_attention(with_attention(tiny_decoder(), ExactAttention(DType.S8)), ExactAttention(DType.F32))
    assert all(len(step.inputs) == 6 for step in model.plans[0].steps if step.op is Op.ATTENTION)


def test_exact_attention_rewinds_anywhere():
    assert ExactAttention().rewind(7, 1, stored=30, context=64, chunk=CHUNK) == 7


@pytest.mark.parametrize("cache", [DType.F16, DType.S8])
def test_scores_stay_inside_the_bound(cache):
    random = np.random.default_rng(0)
    mode = ExactAttention(cache)
    for _ in range(50):
        query, key = random.standard_normal(16), random.standard_normal(16).astype(np.float32)
        largest = np.abs(key).max()
        scale = largest / 127
        stored = np.rint(key / scale) * scale if cache is DType.S8 else key.astype(np.float16).astype(float)
        error = abs(query @ stored - query @ key) * 0.25
        assert error <= mode.score_bound(query, 0.25, largest) * (1 + 1e-6)
    assert ExactAttention(DType.F32).score_bound(query, 0.25, largest) == 0


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: ExactAttention(DType.S4), "ATTENTION_CACHE"),
        (lambda: with_attention(tiny_decoder(), ExactAttention(), CHUNK - 1), "CONTEXT_RANGE"),
        (lambda: with_attention(tiny_decoder(), ExactAttention(), 1 << 31), "CONTEXT_RANGE"),
        (lambda: with_attention(two_plans(), ExactAttention()), "ATTENTION_ABSENT"),
    ],
)
def test_wrong_modes_are_refused(make, code):
    with pytest.raises(InputError) as error:
        make()
    assert error.value.code == code


@pytest.mark.parametrize("mode", [ExactAttention(DType.S8), DeltaAttention()])
def test_caches_that_steps_share_in_different_ways_are_refused(mode):
    model = tiny_decoder()
    plan = model.plans[0]
    first, second = (number for number, step in enumerate(plan.steps) if step.op is Op.ATTENTION)
    inputs, attributes = plan.steps[second].inputs, plan.steps[second].attributes
    heads = {"heads": 2 * attributes["heads"], "kv_heads": 2 * KV_HEADS, "head_dim": HEAD // 2}
    shared = replace(
        plan.steps[second],
        inputs=(*inputs[:3], *plan.steps[first].inputs[3:5], *inputs[5:]),
        attributes={**attributes, **heads},
    )
    steps = (*plan.steps[:second], shared, *plan.steps[second + 1 :])
    strange = parse_model(model_bytes(replace(model, plans=(replace(plan, steps=steps),))))
    with pytest.raises(FileFormatError) as error:
        with_attention(strange, mode)
    assert error.value.code.startswith("STEP_")

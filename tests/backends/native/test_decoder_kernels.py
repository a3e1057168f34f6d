"""The C core's RMS_NORM, ROPE and ATTENTION against the reference, in every variant, around vectors and tiles."""

import sys
from pathlib import Path

import numpy as np
import pytest

from edge_sparse import Session
from edge_sparse.llm.attention import ExactAttention, with_attention
from edge_sparse.plan import DType, Op

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_plan import TinyPlan
from variant_session import VARIANTS, variant_session

CHUNK = 24
SMALL = 5
variants = pytest.mark.parametrize("variant", VARIANTS)
caches = pytest.mark.parametrize("cache", [DType.F32, DType.F16, DType.S8])
#: Root mean square of the error over that of the result.
TOLERANCE = 1e-5


def random(*shape, seed=3):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def error(found, expected):
    expected = expected.astype(np.float64)
    return np.sqrt(((found - expected) ** 2).mean() / max((expected**2).mean(), 1e-30))


def same(plan, variant, tokens=(1, 2, SMALL), **inputs):
    model = plan.model()
    native, reference = variant_session(model, variant), Session.from_model(model, backend="reference")
    for count in tokens:
        part = {name: x[:count] if len(x) == SMALL else x for name, x in inputs.items()}
        found, expected = native.run(part), reference.run(part)
        for name in expected:
            assert found[name].shape == expected[name].shape
            assert error(found[name], expected[name]) < 2e-6


@variants
@pytest.mark.parametrize("width", [1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 64, 130, 2048])
def test_rms_norm(variant, width):
    plan = TinyPlan(SMALL)
    x = plan.input("x", (SMALL, width))
    plan.step(Op.RMS_NORM, [x, plan.constant(random(width))], plan.output("y", (SMALL, width)), epsilon=1e-5)
    same(plan, variant, x=random(SMALL, width, seed=width))


@variants
def test_rms_norm_of_heads_with_half_weights(variant):
    plan = TinyPlan(SMALL)
    x = plan.input("x", (SMALL, 3, 24))
    weight = plan.constant(random(24).astype(np.float16))
    plan.step(Op.RMS_NORM, [x, weight], plan.output("y", (SMALL, 3, 24)), epsilon=1e-5)
    same(plan, variant, x=random(SMALL, 3, 24))


@variants
def test_rms_norm_of_a_single_row(variant):
    plan = TinyPlan(0)
    x = plan.input("x", (24,))
    plan.step(Op.RMS_NORM, [x, plan.constant(random(24))], plan.output("y", (24,)), epsilon=0.0)
    same(plan, variant, tokens=(24,), x=random(24))


@variants
def test_rms_norm_of_rows_at_a_distance(variant):
    plan = TinyPlan(SMALL)
    x, wide = plan.input("x", (SMALL, 20)), plan.arena((SMALL, 20), row=33)
    for source, target in ((x, wide), (wide, plan.output("y", (SMALL, 20)))):
        plan.step(Op.RMS_NORM, [source, plan.constant(random(20))], target, epsilon=1e-3)
    same(plan, variant, x=random(SMALL, 20))


@variants
@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("head_dim", [2, 6, 8, 18, 64, 80, 128])
def test_rope(variant, head_dim, interleaved):
    plan = TinyPlan(SMALL)
    x = plan.input("x", (SMALL, 3 * head_dim))
    position = plan.input("position", (1,), DType.S32, symbolic=False)
    table = plan.constant(500000.0 ** -(np.arange(head_dim // 2) / (head_dim // 2)))
    words = {"head_dim": head_dim, "interleaved": interleaved}
    plan.step(Op.ROPE, [x, position, table], plan.output("y", (SMALL, 3 * head_dim)), **words)
    for place in (0, 1, 4095, 100_000, 1_000_003, 2**31 - 10):
        same(plan, variant, x=random(SMALL, 3 * head_dim), position=np.array([place], np.int32))


def attention_model(kv_heads, group, head_dim, cache, context=64):
    plan = TinyPlan(CHUNK)
    shapes = {"q": (CHUNK, kv_heads * group * head_dim), "k": (CHUNK, kv_heads * head_dim)}
    q, k, v = (plan.input(name, shapes.get(name, shapes["k"])) for name in "qkv")
    position = plan.input("position", (1,), DType.S32, symbolic=False)
    states = [plan.state(f"{name}_cache", (64, kv_heads * head_dim)) for name in "kv"]
    words = {"heads": kv_heads * group, "kv_heads": kv_heads, "head_dim": head_dim, "scale": head_dim**-0.5}
    plan.step(Op.ATTENTION, [q, k, v, *states, position], plan.output("y", shapes["q"]), **words)
    return with_attention(plan.model(), ExactAttention(cache), context)


def attention_inputs(model, tokens, position, seed=0):
    generator = np.random.default_rng(1000 * seed + position)
    arrays = {
        name: generator.standard_normal((tokens, model.tensors[number].shape[1])).astype(np.float32)
        for number, name in enumerate("qkv")
    }
    # Heads of very different size.
    arrays["k"] *= np.exp(generator.standard_normal(arrays["k"].shape[1])).astype(np.float32)
    return arrays | {"position": np.array([position], np.int32)}


def same_attention(model, variant, sizes, threads=1):
    native, reference = variant_session(model, variant, threads), Session.from_model(model, backend="reference")
    position = 0
    for size in sizes:
        arrays = attention_inputs(model, size, position)
        found = error(native.run(arrays)["y"], reference.run(arrays)["y"])
        assert found < TOLERANCE, (size, position, found)
        position += size


@variants
@caches
@pytest.mark.parametrize("head_dim", [1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 20, 31, 32, 33, 64, 80, 128, 130])
def test_attention_of_any_head(variant, cache, head_dim):
    same_attention(attention_model(2, 3, head_dim, cache), variant, [1, 1, 13, 1, 24, 1, 1])


@variants
@caches
@pytest.mark.parametrize(("kv_heads", "group"), [(1, 1), (3, 1), (1, 2), (2, 4), (1, 7), (2, 16), (1, 71)])
def test_attention_of_any_group(variant, cache, kv_heads, group):
    same_attention(attention_model(kv_heads, group, 16, cache), variant, [1, 24, 6, 1, 17, 8, 1, 1])


@variants
@caches
@pytest.mark.parametrize("kv_heads", [1, 3])
def test_keys_shared_among_units(variant, cache, kv_heads):
    model = attention_model(kv_heads, 2, 8, cache, context=1500)
    same_attention(model, variant, [24] * 20 + [1] * 40 + [24] * 22 + [1, 1, 2, 9, 1], threads=2)


@variants
@caches
def test_results_do_not_depend_on_threads(variant, cache):
    model = attention_model(3, 2, 32, cache, context=1100)
    sessions = [variant_session(model, variant, threads) for threads in (1, 2, 3)]
    position = 0
    for size in [24] * 42 + [1, 1, 17, 1]:
        arrays = attention_inputs(model, size, position)
        first, *others = (session.run(arrays)["y"] for session in sessions)
        assert all((other == first).all() for other in others)
        position += size


@variants
@caches
def test_going_back_writes_again(variant, cache):
    model = attention_model(2, 2, 16, cache)
    first, second = (variant_session(model, variant) for _ in range(2))
    first.run(attention_inputs(model, 24, 0))
    first.run(attention_inputs(model, 24, 24))
    for session in (first, second):
        session.run(attention_inputs(model, 20, 0, seed=1))
    arrays = attention_inputs(model, 3, 20, seed=1)
    np.testing.assert_array_equal(first.run(arrays)["y"], second.run(arrays)["y"])


@variants
def test_a_cache_of_bytes_holds_what_the_reference_holds(variant):
    model = attention_model(2, 1, 20, DType.S8)
    native, reference = variant_session(model, variant), Session.from_model(model, backend="reference")
    arrays = attention_inputs(model, 24, 0)
    arrays["k"][3], arrays["v"][5, 20:] = 0, 1e-35
    for session in (native, reference):
        session.run(arrays)
    for name in "kv":
        found, expected = (s.state(f"{name}_cache") for s in (native, reference))
        found = found.reshape(2, 64, 20).transpose(1, 0, 2).reshape(expected.shape)
        np.testing.assert_array_equal(found, expected)
        found, expected = (s.state(f"{name}_scales") for s in (native, reference))
        np.testing.assert_array_equal(found.reshape(2, 64).T.reshape(expected.shape), expected)


@variants
def test_halves_are_clipped(variant):
    model = attention_model(1, 1, 8, DType.F16)
    arrays = attention_inputs(model, 3, 0)
    arrays["v"][0, :2] = 1e6, -1e30
    arrays["q"][:] = 0
    found = variant_session(model, variant).run(arrays)["y"]
    np.testing.assert_allclose(found[0, :2], [65504, -65504])
    assert np.isfinite(found).all()


@variants
@caches
def test_later_values_reach_no_earlier_token(variant, cache):
    model = attention_model(1, 1, 8, cache)
    session = variant_session(model, variant)
    arrays = attention_inputs(model, 8, 0)
    expected = session.run(arrays)["y"]
    arrays["v"][6:] = np.inf
    arrays["k"][7] = np.nan
    np.testing.assert_array_equal(session.run(arrays)["y"][:6], expected[:6])


@variants
@caches
def test_what_is_not_a_number_stays_so(variant, cache):
    model = attention_model(1, 2, 8, cache)
    arrays = attention_inputs(model, 5, 0)
    arrays["q"][:] = np.nan
    assert np.isnan(variant_session(model, variant).run(arrays)["y"]).all()

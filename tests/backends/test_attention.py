"""Attention kernels against the reference backend: all cache types, groups of heads, lengths around block edges."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_plan import TinyPlan

from edge_sparse import Session
from edge_sparse.errors import BackendError
from edge_sparse.llm.attention import ExactAttention, with_attention
from edge_sparse.plan import DType, Op

CHUNK, CAPACITY = 24, 320
#: Root mean square of the error over that of the result. Scores of up to 60 are rounded to float32, queries of S8 to
#: 16 bits.
TOLERANCE = {DType.F32: 2e-5, DType.F16: 2e-5, DType.S8: 1e-3}


def model(kv_heads, group, head_dim, cache, context=CAPACITY):
    plan = TinyPlan(CHUNK)
    shapes = {"q": (CHUNK, kv_heads * group * head_dim), "k": (CHUNK, kv_heads * head_dim)}
    q, k, v = (plan.input(name, shapes.get(name, shapes["k"])) for name in "qkv")
    position = plan.input("position", (1,), DType.S32, symbolic=False)
    caches = [plan.state(f"{name}_cache", (CAPACITY, kv_heads * head_dim)) for name in "kv"]
    words = {"heads": kv_heads * group, "kv_heads": kv_heads, "head_dim": head_dim, "scale": head_dim**-0.5}
    plan.step(Op.ATTENTION, [q, k, v, *caches, position], plan.output("y", shapes["q"]), **words)
    return with_attention(plan.model(), ExactAttention(cache), context)


def inputs(model, tokens, position, spread=1.0, seed=0):
    random = np.random.default_rng(1000 * seed + position)
    arrays = {
        name: random.standard_normal((tokens, model.tensors[number].shape[1])).astype(np.float32)
        for number, name in enumerate("qkv")
    }
    # Heads of very different size, and an outlier among the dims of every query.
    arrays["k"] *= np.exp(random.standard_normal(arrays["k"].shape[1])).astype(np.float32)
    arrays["q"] *= spread
    arrays["q"][:, 1] *= 20
    return arrays | {"position": np.array([position], np.int32)}


def same(model, sizes, threads=1, spread=1.0):
    numba, reference = (Session.from_model(model, backend=name, threads=threads) for name in ("numba", "reference"))
    tolerance, position = TOLERANCE[model.tensors[4].dtype], 0
    for size in sizes:
        arrays = inputs(model, size, position, spread)
        found, expected = numba.run(arrays)["y"], reference.run(arrays)["y"]
        error = np.sqrt(((found - expected.astype(float)) ** 2).mean() / (expected.astype(float) ** 2).mean())
        assert error < tolerance * max(1, spread), (size, position, error)
        position += size


def walk(total):
    """Return run lengths that end before, at and after multiples of 16 and of the kernels' blocks."""
    sizes = [1, 1, 13, 1, 1, 1, 24, 5, 1, 16, 24, 24, 14, 1, 1, 1, 2, 24, 24, 24, 24, 24, 4, 1, 1, 24, 17]
    while sum(sizes) > total:
        sizes.pop()
    return sizes


@pytest.mark.parametrize("cache", [DType.F32, DType.F16, DType.S8])
@pytest.mark.parametrize(
    ("kv_heads", "group", "head_dim"),
    [(2, 4, 64), (3, 1, 16), (1, 7, 32), (2, 3, 80), (2, 2, 8), (1, 5, 6), (1, 1, 256)],
)
def test_equals_reference(kv_heads, group, head_dim, cache):
    same(model(kv_heads, group, head_dim, cache), walk(CAPACITY))


@pytest.mark.parametrize("cache", [DType.F32, DType.S8])
@pytest.mark.parametrize("spread", [0.0, 0.01, 12.0])
def test_flat_and_steep_scores(cache, spread):
    same(model(2, 4, 64, cache), walk(300), spread=spread)


def test_a_full_cache_is_read_to_its_end():
    same(model(2, 4, 64, DType.S8, context=48), [24, 1, 22, 1])


@pytest.mark.parametrize("cache", [DType.F32, DType.S8])
def test_results_do_not_depend_on_threads(cache):
    whole = model(4, 2, 32, cache)
    sessions = [Session.from_model(whole, backend="numba", threads=threads) for threads in (1, 2, 3)]
    position = 0
    for size in (24, 1, 17, 1):
        results = [session.run(inputs(whole, size, position))["y"] for session in sessions]
        assert all((result == results[0]).all() for result in results)
        position += size


def test_tokens_one_by_one_equal_a_chunk():
    whole = model(2, 4, 64, DType.F32)
    chunked, single = (Session.from_model(whole, backend="numba") for _ in range(2))
    arrays = inputs(whole, CHUNK, 0)
    expected = chunked.run(arrays)["y"]
    for token in range(CHUNK):
        row = {name: array[token : token + 1] for name, array in arrays.items()}
        row["position"] = np.array([token], np.int32)
        np.testing.assert_allclose(single.run(row)["y"][0], expected[token], rtol=1e-5, atol=1e-6)


def test_going_back_writes_again():
    whole = model(2, 2, 16, DType.S8)
    first, second = (Session.from_model(whole, backend="numba") for _ in range(2))
    first.run(inputs(whole, 24, 0))
    first.run(inputs(whole, 24, 24))
    for session in (first, second):
        session.run(inputs(whole, 20, 0, seed=1))
    arrays = inputs(whole, 3, 20, seed=1)
    np.testing.assert_array_equal(first.run(arrays)["y"], second.run(arrays)["y"])


def test_keys_of_zero():
    whole = model(1, 2, 16, DType.S8)
    arrays = inputs(whole, 3, 0)
    arrays["k"][:], arrays["v"][:] = 0, 0
    assert (Session.from_model(whole, backend="numba").run(arrays)["y"] == 0).all()


@pytest.mark.parametrize(("kv_heads", "group", "head_dim"), [(1, 1, 1025), (1, 65536, 1), (1, 64, 512)])
def test_heads_that_exceed_the_stack_are_refused(kv_heads, group, head_dim):
    with pytest.raises(BackendError) as error:
        Session.from_model(model(kv_heads, group, head_dim, DType.F32), backend="numba")
    assert error.value.code == "PLAN_UNSUPPORTED"


@pytest.mark.parametrize("head_dim", [1024, 1023])
def test_the_largest_heads(head_dim):
    same(model(1, 2, head_dim, DType.S8), [5, 1, 24])


@pytest.mark.parametrize(("cpu", "features"), [("haswell", "+avx,+avx2,+fma"), ("nehalem", "+sse4.2")])
def test_narrower_instruction_sets(cpu, features):
    if "NUMBA_CPU_NAME" in os.environ:
        return
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "2-4-64 or 1-5-6", __file__]
    done = subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]

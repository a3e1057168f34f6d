"""The C core's DELTA_ATTENTION against the reference: results, the bytes of the state, rewinds, strange state."""

import sys
from pathlib import Path

import numpy as np
import pytest

from edge_sparse import Session
from edge_sparse.format.delta_rules import mark_words
from edge_sparse.plan import DType

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_delta_attention import delta_model, run, run_all, sequence
from variant_session import VARIANTS, variant_session

variants = pytest.mark.parametrize("variant", VARIANTS)
dtypes = pytest.mark.parametrize("dtype", [DType.F32, DType.F16])
#: Root mean square of the error over that of the result.
TOLERANCE = 1e-5


def both(model, variant, threads=1):
    return variant_session(model, variant, threads), Session.from_model(model, backend="reference")


def assert_close(found, expected):
    expected = expected.astype(np.float64)
    assert np.sqrt(((found - expected) ** 2).mean() / (expected**2).mean()) < TOLERANCE


def assert_same_state(native, reference):
    """Compare all bytes of the state but those behind the last change of a head, which say nothing."""
    marks = reference.state("marks").reshape(reference.plan.tensors[7].shape)
    ends = marks[:, 1 + marks[0, 0, 0], 0]
    for name in ("v_cache", "exact_keys", "marks"):
        np.testing.assert_array_equal(native.state(name), reference.state(name), err_msg=name)
    rows = (session.state("deltas").reshape(len(ends), -1) for session in (native, reference))
    for found, expected, end in zip(*rows, ends, strict=True):
        np.testing.assert_array_equal(found[:end], expected[:end])


@variants
@dtypes
@pytest.mark.parametrize("head_dim", [1, 3, 4, 7, 8, 16, 31, 32, 33, 40, 63, 64, 65, 80, 96, 128, 130])
def test_any_head(variant, dtype, head_dim):
    arrays = sequence(40, head_dim)
    native, reference = both(delta_model(head_dim, theta=0.6, sinks=2, dtype=dtype), variant)
    for window, sizes in ((5, (8, 8, 1, 1, 5, 7, 1, 1, 8)), (1, (1, 1, 8, 8))):
        assert_close(run_all(native, arrays, window, sizes), run_all(reference, arrays, window, sizes))
        assert_same_state(native, reference)


@variants
@dtypes
@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (3, 1), (6, 3), (16, 2), (71, 1)])
def test_any_group(variant, dtype, heads, kv_heads):
    arrays = sequence(30, 16, heads, kv_heads)
    native, reference = both(delta_model(16, theta=0.5, heads=heads, kv_heads=kv_heads, dtype=dtype), variant)
    sizes = (7, 1, 1, 8, 3, 8, 1, 1)
    assert_close(run_all(native, arrays, 4, sizes), run_all(reference, arrays, 4, sizes))
    assert_same_state(native, reference)


@variants
@dtypes
@pytest.mark.parametrize(
    ("theta", "window", "sinks"), [(0.0, 1, 0), (0.3, 3, 1), (1.5, 9, 0), (3.0, 100, 4), (9, 1, 40)]
)
def test_windows_and_sinks(variant, dtype, theta, window, sinks):
    arrays = sequence(200, 24)
    model = delta_model(24, theta=theta, sinks=sinks, ring=108, capacity=200, dtype=dtype)
    native, reference = both(model, variant)
    sizes = (8,) * 10 + (1,) * 16 + (8,) * 13
    assert_close(run_all(native, arrays, window, sizes), run_all(reference, arrays, window, sizes))
    assert_same_state(native, reference)


@variants
@dtypes
@pytest.mark.parametrize(("position", "window"), [(21, 5), (20, 5), (10, 5), (0, 5), (3, 3), (1, 1), (12, 8)])
def test_rewinding(variant, dtype, position, window):
    arrays, others = sequence(40, 40), sequence(40, 40, seed=9)
    native, reference = both(delta_model(40, theta=0.7, sinks=1, ring=14, dtype=dtype), variant)
    for session in (native, reference):
        run_all(session, arrays, window, (8, 8, 8))
    for tokens, at in ((6, position), (1, position + 6), (2, position + 3)):
        assert_close(*(run(session, others, at, window, tokens) for session in (native, reference)))
        assert_same_state(native, reference)


@variants
def test_large_numbers_are_clipped(variant):
    q, k, v = sequence(8, 16)
    k[2, :4], v[3, :2] = (1e6, -1e30, 70000, 65519), (1e5, -1e5)
    native, reference = both(delta_model(16, theta=0.5, dtype=DType.F16), variant)
    for session in (native, reference):
        run_all(session, (np.zeros_like(q), k, v), 2, (4, 4))
    assert_same_state(native, reference)


@variants
@dtypes
def test_results_do_not_depend_on_threads(variant, dtype):
    arrays = sequence(36, 64)
    model = delta_model(64, theta=0.5, sinks=1, dtype=dtype)
    first, *others = (run_all(variant_session(model, variant, n), arrays, 3, (8, 8, 8, 1, 1, 8)) for n in (1, 2, 3))
    for other in others:
        np.testing.assert_array_equal(first, other)


@variants
@dtypes
def test_state_of_any_content_leads_nowhere_else(variant, dtype):
    arrays, random = sequence(40, 24), np.random.default_rng(2)
    guarded = variant_session(delta_model(24, theta=0.5, sinks=3, dtype=dtype), variant)
    for _ in range(20):
        state = guarded._executor.state
        state[:] = random.integers(0, 256, state.size, np.uint8)
        guarded.state("marks").reshape(-1, 42, mark_words(24))[:, 0, 0] = random.integers(32, 2**31)
        run(guarded, arrays, int(random.integers(0, 32)), int(random.integers(1, 8)), 8)

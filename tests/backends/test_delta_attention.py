"""DELTA_ATTENTION against a twin that knows no state: it sees the whole sequence and sums scores along the tokens."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_sparse import Session
from edge_sparse.backends.native.library import library_path
from edge_sparse.errors import InputError
from edge_sparse.format.delta_rules import mark_words
from edge_sparse.plan import DType, Model, Op, Plan, Step, Storage, Tensor

HEADS, KV_HEADS, CHUNK = 4, 2, 8
NATIVE = pytest.mark.skipif(not library_path().is_file(), reason="the C library is not built: make native")
BACKENDS = ["reference", "numba", pytest.param("native", marks=NATIVE)]


def delta_model(head_dim, *, theta, sinks=0, ring=16, capacity=40, heads=HEADS, kv_heads=KV_HEADS, dtype=DType.F32):
    """Return a model whose only step is DELTA_ATTENTION on inputs."""
    tensors, state = [], 0

    def tensor(name, shape, storage, kind=DType.F32, symbolic=False):
        nonlocal state
        strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
        size, offset = int(np.prod(shape)) * kind.numpy.itemsize, 0
        if storage is Storage.STATE:
            offset, state = state, state + -(-size // 64) * 64
        extent, axis = (offset, offset + size), 0 if symbolic else -1
        new = Tensor(
            name, kind, shape, storage=storage, offset=offset, strides=strides, extent=extent, symbol_axis=axis
        )
        tensors.append(new)
        return len(tensors) - 1

    widths = {"q": heads, "k": kv_heads, "v": kv_heads}
    q, k, v = (tensor(n, (CHUNK, m * head_dim), Storage.INPUT, symbolic=True) for n, m in widths.items())
    position = tensor("position", (2,), Storage.INPUT, DType.S32)
    deltas = tensor("deltas", (kv_heads, capacity * head_dim), Storage.STATE, dtype)
    values = tensor("v_cache", (capacity, kv_heads * head_dim), Storage.STATE, dtype)
    exact = tensor("exact_keys", (1 + sinks + ring, kv_heads * head_dim), Storage.STATE)
    marks = tensor("marks", (kv_heads, capacity + 2, mark_words(head_dim)), Storage.STATE, DType.S32)
    y = tensor("y", (CHUNK, heads * head_dim), Storage.OUTPUT, symbolic=True)
    attributes = {"heads": heads, "kv_heads": kv_heads, "head_dim": head_dim, "scale": head_dim**-0.5}
    attributes |= {"theta": theta, "sinks": sinks}
    step = Step(Op.DELTA_ATTENTION, "delta", (q, k, v, deltas, values, position, exact, marks), (y,), attributes)
    plan = Plan("main", tuple(tensors), (step,), (q, k, v, position), (y,), 0, "tokens", CHUNK)
    return Model((plan,), state_bytes=state)


def sequence(tokens, head_dim, heads=HEADS, kv_heads=KV_HEADS, seed=1):
    """Return q, k and v of a text whose keys move slowly in half of their elements."""
    random = np.random.default_rng(seed)
    q, k, v = (random.standard_normal((tokens, n * head_dim)) for n in (heads, kv_heads, kv_heads))
    k[:, ::2] = np.cumsum(k[:, ::2], axis=0) / 4
    return tuple(array.astype(np.float32) for array in (q, k, v))


def twin(q, k, v, *, head_dim, theta, window, sinks=0, dtype=np.float32):
    """Return the outputs of every token and the share of changes that are 0."""
    tokens, heads, kv_heads = len(q), q.shape[1] // head_dim, k.shape[1] // head_dim
    changes = np.zeros(k.shape)
    for column in range(k.shape[1]):
        held = np.float32(0)
        for j in range(tokens):
            if abs(k[j, column] - held) > np.float32(theta):
                changes[j, column] = np.float32(dtype(k[j, column] - held))
                held = np.float32(held + np.float32(changes[j, column]))
    outputs = np.zeros(q.shape)
    v = v.astype(dtype)
    for head in range(heads):
        mine = slice(head * head_dim, (head + 1) * head_dim)
        shared = slice(head * kv_heads // heads * head_dim, (head * kv_heads // heads + 1) * head_dim)
        for i in range(tokens):
            query = q[i, mine].astype(np.float64)
            running = np.cumsum(changes[: i + 1, shared] @ query)
            dense = k[: i + 1, shared].astype(np.float64) @ query
            block = i - i % window
            scores = [dense[j] if j < sinks or j >= block else running[j] for j in range(i + 1)]
            powers = np.exp(np.array(scores) / head_dim**0.5)
            outputs[i, mine] = powers @ v[: i + 1, shared].astype(np.float64) / powers.sum()
    return outputs, float((changes == 0).mean())


def run(session, arrays, position, window, tokens):
    part = {name: array[position : position + tokens] for name, array in zip("qkv", arrays, strict=True)}
    return session.run({**part, "position": np.array([position, window], np.int32)})["y"]


def run_all(session, arrays, window, sizes):
    outputs, position = [], 0
    for tokens in sizes:
        outputs.append(run(session, arrays, position, window, tokens))
        position += tokens
    return np.concatenate(outputs)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("head_dim", [8, 16, 24, 64, 80])
@pytest.mark.parametrize("dtype", [DType.F32, DType.F16])
def test_equals_the_twin(backend, head_dim, dtype):
    arrays = sequence(30, head_dim)
    for theta, window, sinks in ((0.6, 1, 0), (0.6, 5, 2), (1.5, 9, 0)):
        session = Session.from_model(delta_model(head_dim, theta=theta, sinks=sinks, dtype=dtype), backend=backend)
        settings = {"theta": theta, "window": window, "sinks": sinks, "dtype": dtype.numpy.type}
        expected, zeros = twin(*arrays, head_dim=head_dim, **settings)
        assert 0.2 < zeros < 0.95
        found = run_all(session, arrays, window, (8, 8, 1, 1, 5, 7))
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (3, 1), (6, 3), (16, 2)])
def test_other_head_counts(backend, heads, kv_heads):
    arrays = sequence(20, 16, heads, kv_heads)
    model = delta_model(16, theta=0.5, heads=heads, kv_heads=kv_heads)
    expected, _ = twin(*arrays, head_dim=16, theta=0.5, window=4)
    found = run_all(Session.from_model(model, backend=backend), arrays, 4, (7, 1, 1, 8, 3))
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_theta_zero_is_exact_attention(backend):
    q, k, v = sequence(24, 16)
    # Multiples of 1/64 have exact sums, so the references are the keys themselves.
    k = np.rint(64 * k) / np.float32(64)
    found = run_all(Session.from_model(delta_model(16, theta=0.0), backend=backend), (q, k, v), 2, (8, 8, 8))
    expected, _ = twin(q, k, v, head_dim=16, theta=0.0, window=24)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("position", "window"), [(21, 5), (20, 5), (10, 5), (0, 5), (3, 3), (1, 1)])
def test_rewinding_is_as_if_never_left(backend, position, window):
    arrays, others = sequence(30, 16), sequence(30, 16, seed=9)
    mixed = tuple(np.concatenate([a[:position], b[position:]]) for a, b in zip(arrays, others, strict=True))
    session = Session.from_model(delta_model(16, theta=0.7, sinks=1, ring=14), backend=backend)
    run_all(session, arrays, window, (8, 8, 8))
    found = run(session, mixed, position, window, 6)
    expected, _ = twin(*(array[: position + 6] for array in mixed), head_dim=16, theta=0.7, window=window, sinks=1)
    np.testing.assert_allclose(found, expected[position:], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_keys_that_a_rewind_lost_are_replaced(backend):
    arrays = sequence(32, 16)
    session = Session.from_model(delta_model(16, theta=0.7, ring=8), backend=backend)
    run_all(session, arrays, 1, (8, 8, 8, 8))
    found = run(session, arrays, 12, 8, 1)
    q, k, v = (array[:13] for array in arrays)
    expected, _ = twin(q, k, v, head_dim=16, theta=0.7, window=1)
    np.testing.assert_allclose(found[0], expected[12], rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("position", "window", "tokens", "code"),
    [
        (-1, 1, 1, "POSITION_RANGE"),
        (39, 1, 2, "POSITION_RANGE"),
        (5, 1, 1, "POSITION_RANGE"),
        (0, 0, 1, "WINDOW_RANGE"),
        (0, -3, 1, "WINDOW_RANGE"),
        (4, 100, 8, "WINDOW_RANGE"),
    ],
)
def test_wrong_positions_are_named(backend, position, window, tokens, code):
    arrays = sequence(48, 16)
    session = Session.from_model(delta_model(16, theta=0.5, ring=9), backend=backend)
    run(session, arrays, 0, 4, 4)
    part = {name: array[:tokens] for name, array in zip("qkv", arrays, strict=True)}
    with pytest.raises(InputError) as error:
        session.run({**part, "position": np.array([position, window], np.int32)})
    assert error.value.code == code


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(threads):
    arrays = sequence(36, 64)
    model = delta_model(64, theta=0.5, sinks=1, dtype=DType.F16)
    results = [
        run_all(Session.from_model(model, backend="numba", threads=n), arrays, 3, (8, 8, 8, 1, 1, 8))
        for n in (1, threads)
    ]
    np.testing.assert_array_equal(*results)


def test_the_state_is_that_of_the_reference():
    arrays = sequence(30, 24)
    model = delta_model(24, theta=0.5, sinks=2, ring=9, dtype=DType.F16)
    sessions = [Session.from_model(model, backend=backend) for backend in ("reference", "numba")]
    for session in sessions:
        run_all(session, arrays, 1, (8, 8, 8, 1))
        run(session, arrays, 13, 1, 8)
    for name in ("deltas", "v_cache", "exact_keys", "marks"):
        first, second = (session.state(name) for session in sessions)
        if name == "deltas":
            # What lies behind the last change of a head is anything.
            ends = sessions[0].state("marks").reshape(KV_HEADS, -1, mark_words(24))[:, 2 + 20, 0]
            first, second = (
                np.concatenate([row[:end] for row, end in zip(state.reshape(KV_HEADS, -1), ends, strict=True)])
                for state in (first, second)
            )
        np.testing.assert_array_equal(first, second)


def test_state_of_any_content_leads_nowhere_else():
    arrays, random = sequence(40, 24), np.random.default_rng(2)
    model = delta_model(24, theta=0.5, dtype=DType.F16)
    guarded = Session.from_model(model, backend="numba")
    for _ in range(20):
        state = guarded._executor.state
        state[:] = random.integers(0, 256, state.size, np.uint8)
        guarded.state("marks").reshape(KV_HEADS, -1, 2)[:, 0, 0] = random.integers(32, 2**31)
        run(guarded, arrays, int(random.integers(0, 32)), int(random.integers(1, 8)), 8)


@pytest.mark.parametrize("target", ["haswell", "nehalem"])
def test_narrower_processors(target):
    features = {"haswell": "+avx,+avx2,+fma,+f16c", "nehalem": "+sse4.2"}[target]
    code = (
        "import numpy as np, test_delta_attention as t\n"
        "t.test_equals_the_twin('numba', 24, t.DType.F16)\n"
        "t.test_equals_the_twin('numba', 64, t.DType.F32)\n"
    )
    environment = {**os.environ, "NUMBA_CPU_NAME": target, "NUMBA_CPU_FEATURES": features}
    environment["PYTHONPATH"] = str(Path(__file__).parent)
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)

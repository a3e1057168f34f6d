"""Decode time of exact and delta attention: alone at the shape of Llama-3.2-1B, and inside a whole model."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np

from edge_sparse import Session
from edge_sparse.llm.attention import AttentionMode, DeltaAttention, ExactAttention, with_attention
from edge_sparse.llm.delta import delta_sparsity
from edge_sparse.llm.token_cache import TokenCache
from edge_sparse.plan import DType, Model, Op, Plan, Step, Storage, Tensor, row_major_strides

__all__ = ["attention_times", "decode_times"]

HEADS, KV_HEADS, HEAD_DIM, CHUNK = 32, 8, 64, 128
DEPTHS = (256, 512, 1024, 2048, 4096, 8192)
REPEATS = 30


def _attention_model(context: int) -> Model:
    """Return a model of one ATTENTION step on inputs."""
    tensors: list[Tensor] = []

    def tensor(name: str, shape: tuple[int, ...], storage: Storage, dtype: DType = DType.F32) -> int:
        size = int(np.prod(shape)) * dtype.numpy.itemsize
        axis = 0 if len(shape) == 2 and storage is not Storage.STATE else -1
        strides = row_major_strides(shape)
        tensors.append(Tensor(name, dtype, shape, storage=storage, strides=strides, extent=(0, size), symbol_axis=axis))
        return len(tensors) - 1

    wide, narrow = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    q, k, v = (tensor(n, (CHUNK, w), Storage.INPUT) for n, w in (("q", wide), ("k", narrow), ("v", narrow)))
    position = tensor("position", (1,), Storage.INPUT, DType.S32)
    caches = [tensor(f"{name}_cache", (context, narrow), Storage.STATE) for name in "kv"]
    y = tensor("y", (CHUNK, wide), Storage.OUTPUT)
    words = {"heads": HEADS, "kv_heads": KV_HEADS, "head_dim": HEAD_DIM, "scale": HEAD_DIM**-0.5}
    step = Step(Op.ATTENTION, "attention", (q, k, v, *caches, position), (y,), words)
    plan = Plan("main", tuple(tensors), (step,), (q, k, v, position), (y,), 0, "tokens", CHUNK)
    return Model((plan,))


def attention_times() -> list[dict]:
    """Return milliseconds per token and layer at every depth, one thread; keys are made up and move slowly."""
    random = np.random.default_rng(0)
    deepest = max(DEPTHS)
    model = _attention_model(deepest + CHUNK)
    modes: dict[str, AttentionMode] = {f"exact {c.name}": ExactAttention(c) for c in (DType.S8, DType.F16, DType.F32)}
    modes |= {"delta F16, theta 0": DeltaAttention(0.0), "delta F16, theta 0.35": DeltaAttention(0.35)}
    sessions = {name: Session.from_model(with_attention(model, mode, deepest + CHUNK)) for name, mode in modes.items()}
    rows, key = [], random.standard_normal(KV_HEADS * HEAD_DIM)
    for first in range(0, deepest, CHUNK):
        keys = []
        for _ in range(CHUNK):
            key = 0.9 * key + 0.19**0.5 * random.standard_normal(key.size)
            keys.append(key)
        inputs = {name: random.standard_normal((CHUNK, n * HEAD_DIM)) for name, n in (("q", HEADS), ("v", KV_HEADS))}
        inputs = {name: array.astype(np.float32) for name, array in {**inputs, "k": np.array(keys)}.items()}
        for session in sessions.values():
            _run(session, inputs, first)
        if first + CHUNK in DEPTHS:
            rows.append(_row(sessions, inputs, first + CHUNK))
            print(rows[-1], flush=True)
    return rows


def _run(session: Session, inputs: dict, position: int) -> None:
    numbers = np.array([position, max(1, round(0.05 * (position + 1)))], np.int32)
    session.run({**inputs, "position": numbers[: session.inputs[3].shape[0]]})


def _row(sessions: dict[str, Session], inputs: dict, depth: int) -> dict:
    """Time all modes in turns."""
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for repeat in range(REPEATS):
        one = {name: array[repeat : repeat + 1].copy() for name, array in inputs.items()}
        for name, session in sessions.items():
            start = time.perf_counter()
            # A position that was reached before would be a way back, after which delta attention sums its changes up.
            _run(session, one, depth + repeat)
            times[name].append(1e3 * (time.perf_counter() - start))
    window = max(1, round(0.05 * (depth + 1)))
    zeros = {
        name: delta_sparsity(session, window).outside for name, session in sessions.items() if name.startswith("delta")
    }
    return {
        "depth": depth,
        "milliseconds": {name: [min(t), statistics.median(t)] for name, t in times.items()},
        "sparsity": zeros,
    }


def decode_times(model: Model, depths: Sequence[int], delta: DeltaAttention) -> list[dict]:
    """Return milliseconds per token of a whole model after ``depth`` tokens, one thread, for exact and delta modes."""
    modes: dict[str, AttentionMode] = {
        "exact S8": ExactAttention(DType.S8),
        "exact F16": ExactAttention(DType.F16),
        "delta F16": delta,
    }
    random = np.random.default_rng(0)
    rows = []
    for depth in depths:
        caches = {}
        for name, mode in modes.items():
            session = Session.from_model(with_attention(model, mode, depth + REPEATS), plan="generate")
            caches[name] = TokenCache(session, mode, depth + REPEATS)
            tokens = random.integers(3, 100, depth - 1).tolist()
            caches[name].go_back(tokens)
            caches[name].read(tokens)
        times: dict[str, list[float]] = {name: [] for name in modes}
        for _ in range(REPEATS):
            for name, cache in caches.items():
                start = time.perf_counter()
                cache.read([5])
                times[name].append(1e3 * (time.perf_counter() - start))
        rows.append({"depth": depth, "milliseconds": {n: [min(t), statistics.median(t)] for n, t in times.items()}})
        print(rows[-1], flush=True)
    return rows

"""One NumPy function per op code of decoders; token counts and positions are those of the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.reference.memory import Memory
from edge_sparse.errors import InputError
from edge_sparse.format.packing import dense
from edge_sparse.plan import DType, Model, Step, Tensor

__all__ = ["attention", "embedding", "rms_norm", "rope", "take_last"]

Array = npt.NDArray[Any]
_LARGEST_F16 = np.float32(65504)
#: Heads whose largest magnitude is below this count as zero, so that 127 / magnitude is finite.
_SMALLEST_SCALED = np.float32(2.0**-100)


def _position(memory: Memory, tensor: Tensor) -> int:
    """Return the position of this run's first token."""
    position = int(memory.view(tensor).reshape(-1)[0])
    if position < 0:
        raise InputError("POSITION_RANGE", f"{tensor.name} is {position}", "count positions from 0")
    return position


def embedding(memory: Memory, model: Model, step: Step, ids: Tensor, y: Tensor, table: Tensor | None = None) -> Array:
    """Rows of a constant table or of a matrix."""
    numbers = memory.view(ids)
    rows = dense(model.matrices[int(step.attributes["matrix"])]) if table is None else memory.view(table)
    wrong = (numbers < 0) | (numbers >= len(rows))
    if wrong.any():
        message = f"{ids.name} holds token {int(numbers[wrong][0])} of a vocabulary of {len(rows)}"
        raise InputError("TOKEN_RANGE", message, "check the tokenizer")
    return np.asarray(rows[numbers])


def rms_norm(memory: Memory, model: Model, step: Step, x: Tensor, y: Tensor, weight: Tensor) -> Array:
    """Divide rows by their root mean square."""
    source = memory.view(x).astype(np.float64)
    mean = (source * source).mean(axis=-1, keepdims=True)
    return np.asarray(source / np.sqrt(mean + step.attributes["epsilon"]) * memory.view(weight).reshape(-1))


def rope(
    memory: Memory, model: Model, step: Step, x: Tensor, y: Tensor, position: Tensor, frequencies: Tensor
) -> Array:
    """Rotate the pairs of every head by angles that grow with the token's position."""
    source = memory.view(x).astype(np.float64)
    half = int(step.attributes["head_dim"]) // 2
    first = _position(memory, position)
    angles = (first + np.arange(len(source)))[:, None] * memory.view(frequencies).reshape(-1).astype(np.float64)
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    heads = source.reshape(len(source), -1, 2 * half)
    result = np.empty_like(heads)
    pairs = (
        (slice(0, None, 2), slice(1, None, 2)) if step.attributes["interleaved"] else (slice(half), slice(half, None))
    )
    a, b = heads[..., pairs[0]], heads[..., pairs[1]]
    result[..., pairs[0]], result[..., pairs[1]] = a * cos - b * sin, a * sin + b * cos
    return result


def attention(
    memory: Memory,
    model: Model,
    step: Step,
    q: Tensor,
    y: Tensor,
    k: Tensor,
    v: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    position: Tensor,
    k_scales: Tensor | None = None,
    v_scales: Tensor | None = None,
) -> Array:
    """Store this run's keys and values in the caches, then attend to everything up to each token."""
    first, tokens = _position(memory, position), len(memory.view(q))
    if first + tokens > k_cache.shape[0]:
        message = f"{tokens} tokens at position {first} exceed the {k_cache.shape[0]} of the cache"
        raise InputError("POSITION_RANGE", message, "start again, or convert with a larger context")
    heads, kv_heads, width = (int(step.attributes[name]) for name in ("heads", "kv_heads", "head_dim"))
    keys, values = (
        _cached(memory, new, cache, scales, first, tokens).reshape(-1, kv_heads, width)
        for new, cache, scales in ((k, k_cache, k_scales), (v, v_cache, v_scales))
    )
    queries = memory.view(q).astype(np.float64).reshape(tokens, heads, width)
    result = np.empty_like(queries)
    for head in range(heads):
        shared = head // (heads // kv_heads)
        scores = queries[:, head] @ keys[:, shared].T * step.attributes["scale"]
        scores[np.arange(first + tokens) > first + np.arange(tokens)[:, None]] = -np.inf
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        result[:, head] = powers / powers.sum(axis=1, keepdims=True) @ values[:, shared]
    return result


def _cached(memory: Memory, new: Tensor, cache: Tensor, scales: Tensor | None, first: int, tokens: int) -> Array:
    """Store this run's rows in a cache and return what the cache holds up to them."""
    rows, stored = memory.view(new), memory.view(cache)
    end = first + tokens
    if scales is None:
        if cache.dtype is DType.F16:
            rows = rows.clip(-_LARGEST_F16, _LARGEST_F16)
        stored[first:end] = rows
        return stored[:end].astype(np.float64)
    heads = rows.reshape(tokens, scales.shape[1], -1)
    largest = np.abs(heads).max(axis=2, keepdims=True)
    largest[largest < _SMALLEST_SCALED] = 0
    stored[first:end] = np.rint(heads * (np.float32(127) / np.where(largest, largest, np.inf))).reshape(tokens, -1)
    factors = memory.view(scales)
    factors[first:end] = largest[..., 0] / np.float32(127)
    whole = stored[:end].reshape(end, scales.shape[1], -1).astype(np.float64)
    return np.asarray(whole * factors[:end, :, None])


def take_last(memory: Memory, model: Model, step: Step, x: Tensor, y: Tensor) -> Array:
    """Return the last of this run's rows."""
    return np.asarray(memory.view(x)[-1:])

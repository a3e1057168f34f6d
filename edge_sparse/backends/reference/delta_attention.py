"""DELTA_ATTENTION in NumPy: keys are stored as the changes of a running reference (DeltaLLM, arXiv 2507.19608)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.reference.memory import Memory
from edge_sparse.errors import InputError
from edge_sparse.plan import DType, Model, Step, Tensor

__all__ = ["delta_attention"]

Array = npt.NDArray[Any]
#: Rows of ``marks`` before those of tokens: the head's own numbers, then the end of no changes, which is 0.
_HEADER = 2
_LARGEST_F16 = np.float32(65504)


@dataclass(frozen=True)
class _KeyStore:
    """The keys of one kv head: views into the state, shape (elements,), (rows, head_dim) and (rows, words)."""

    deltas: Array
    exact: Array
    marks: Array
    theta: np.float32
    sinks: int

    @property
    def ring(self) -> int:
        """Number of the latest tokens whose keys are kept exactly."""
        return len(self.exact) - 1 - self.sinks

    def changes(self, token: int) -> Array:
        """Return the change of every element at a token, zeros included, shape (head_dim,)."""
        width = self.exact.shape[1]
        bits = self.marks[_HEADER + token, 1:].astype("<i4").view(np.uint8)
        changed = np.unpackbits(bits, bitorder="little")[:width].astype(bool)
        result = np.zeros(width, np.float32)
        end = int(self.marks[_HEADER + token, 0])
        result[changed] = self.deltas[end - int(changed.sum()) : end]
        return result

    def references(self, tokens: int) -> Array:
        """Return what every key is replaced by, the running sum of its changes, shape (tokens, head_dim)."""
        rows = [np.zeros(self.exact.shape[1], np.float32)]
        for token in range(tokens):
            rows.append(rows[-1] + self.changes(token))
        return np.array(rows[1:], np.float32).reshape(tokens, -1)

    def append(self, position: int, keys: Array) -> None:
        """Store keys behind the first ``position`` ones; later ones are forgotten."""
        length, first_exact = (int(n) for n in self.marks[0, :2])
        if position > length:
            message = f"position {position} leaves tokens out: {length} are stored"
            raise InputError("POSITION_RANGE", message, "go on from a position that was reached")
        reference = self.exact[0]
        if position < length:
            reference[:] = self.references(position)[-1] if position else 0
        first_exact = min(max(first_exact, length - self.ring), position)
        end = int(self.marks[_HEADER + position - 1, 0])
        for token, key in enumerate(keys.astype(np.float32), position):
            change = key - reference
            changed = ~(np.abs(change) <= self.theta)
            limit = np.finfo(self.deltas.dtype).max
            stored = np.clip(change[changed], -limit, limit).astype(self.deltas.dtype)
            reference[changed] += stored.astype(np.float32)
            self.deltas[end : end + len(stored)] = stored
            end += len(stored)
            bits = np.zeros(4 * (self.marks.shape[1] - 1), np.uint8)
            packed = np.packbits(changed, bitorder="little")
            bits[: len(packed)] = packed
            self.marks[_HEADER + token, 0] = end
            self.marks[_HEADER + token, 1:] = bits.view("<i4")
            self.exact[1 + self.sinks + token % self.ring] = key
            if token < self.sinks:
                self.exact[1 + token] = key
        length = position + len(keys)
        self.marks[0, :2] = length, max(first_exact, length - self.ring)

    def keys_for(self, token: int, window: int, references: Array) -> Array:
        """Return the keys that the query of a token sees, shape (token + 1, head_dim)."""
        keys = references[: token + 1].copy()
        sinks = min(self.sinks, token + 1)
        keys[:sinks] = self.exact[1 : 1 + sinks]
        exact = np.arange(max(token // window * window, int(self.marks[0, 1])), token + 1)
        keys[exact] = self.exact[1 + self.sinks + exact % self.ring]
        return keys


def delta_attention(
    memory: Memory,
    model: Model,
    step: Step,
    q: Tensor,
    y: Tensor,
    k: Tensor,
    v: Tensor,
    deltas: Tensor,
    v_cache: Tensor,
    position: Tensor,
    exact_keys: Tensor,
    marks: Tensor,
) -> Array:
    """Store this run's keys as changes and its values as they are, then attend to everything up to each token."""
    heads, kv_heads, width, sinks = (int(step.attributes[n]) for n in ("heads", "kv_heads", "head_dim", "sinks"))
    queries = memory.view(q).astype(np.float64).reshape(-1, heads, width)
    tokens = len(queries)
    first, window = (int(number) for number in memory.view(position).reshape(-1))
    _check(first, tokens, window, v_cache.shape[0], exact_keys.shape[0] - 1 - sinks)
    rows = memory.view(v)
    if v_cache.dtype is DType.F16:
        rows = rows.clip(-_LARGEST_F16, _LARGEST_F16)
    memory.view(v_cache)[first : first + tokens] = rows
    values = memory.view(v_cache)[: first + tokens].astype(np.float64).reshape(-1, kv_heads, width)
    result = np.empty_like(queries)
    for shared in range(kv_heads):
        columns = slice(shared * width, (shared + 1) * width)
        store = _KeyStore(
            memory.view(deltas)[shared],
            memory.view(exact_keys)[:, columns],
            memory.view(marks)[shared],
            np.float32(step.attributes["theta"]),
            sinks,
        )
        store.append(first, memory.view(k)[:, columns])
        references = store.references(first + tokens)
        group = slice(shared * (heads // kv_heads), (shared + 1) * (heads // kv_heads))
        for t in range(tokens):
            keys = store.keys_for(first + t, window, references).astype(np.float64)
            scores = queries[t, group] @ keys.T * step.attributes["scale"]
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            result[t, group] = powers / powers.sum(axis=1, keepdims=True) @ values[: first + t + 1, shared]
    return result


def _check(first: int, tokens: int, window: int, capacity: int, ring: int) -> None:
    if first < 0:
        raise InputError("POSITION_RANGE", f"position is {first}", "count positions from 0")
    if first + tokens > capacity:
        message = f"{tokens} tokens at position {first} exceed the {capacity} of the cache"
        raise InputError("POSITION_RANGE", message, "start again, or convert with a larger context")
    if window < 1:
        raise InputError("WINDOW_RANGE", f"the window is {window} tokens", "ask for at least 1")
    needed = first % window + tokens
    if needed > ring:
        message = f"a window of {window} tokens needs {needed} exact keys, there is room for {ring}"
        raise InputError("WINDOW_RANGE", message, "make the model with a larger window")

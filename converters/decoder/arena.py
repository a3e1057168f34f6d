"""Where the activations of a decoder lie: a few buffers that every layer uses again."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sparse.converters.decoder.config import DecoderConfig

from edge_sparse.format.spec import ALIGNMENT

__all__ = ["Buffers", "buffers_of"]


@dataclass(frozen=True)
class Buffers:
    """Byte offsets of the buffers in the arena.

    A layer reads the residual stream from ``stream[0]``, leaves the sum with attention in ``stream[1]`` and its own
    result in ``stream[0]``. ``attended`` is ``normed``'s memory, which is free once the projections have read it;
    ``gate`` and ``up`` lie over queries, keys and values.
    """

    stream: tuple[int, int]
    normed: int
    attended: int
    queries: tuple[int, int]
    keys: tuple[int, int]
    value: int
    gate: int
    up: int
    last: int
    bytes: int


def buffers_of(config: DecoderConfig, chunk: int) -> Buffers:
    """Lay out the arena of runs of up to ``chunk`` tokens."""
    query, key = config.heads * config.head_dim, config.kv_heads * config.head_dim
    dim = _bytes(chunk, config.dim)
    normed = 2 * dim
    free = normed + max(dim, _bytes(chunk, query))
    queries = (free, free + _bytes(chunk, query))
    keys = (queries[1] + _bytes(chunk, query), queries[1] + _bytes(chunk, query) + _bytes(chunk, key))
    value = keys[1] + _bytes(chunk, key)
    gate, up = free, free + _bytes(chunk, config.ffn)
    end = max(value + _bytes(chunk, key), up + _bytes(chunk, config.ffn))
    # The last layer's result lies in the first half of the stream, so the second one is free.
    return Buffers((0, dim), normed, normed, queries, keys, value, gate, up, dim, end)


def _bytes(chunk: int, width: int) -> int:
    return -(-4 * chunk * width // ALIGNMENT) * ALIGNMENT

"""The two products of attention, q K and p V, for a chunk of rows and a block of cached tokens."""

from __future__ import annotations

from typing import Any

from edge_sparse.backends.numba.attention_kernel import AttendArgument, AttendKernel, Rows
from edge_sparse.backends.numba.half_precision import load_halves
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.plan import CACHE_BLOCK, DType

__all__ = ["FloatProducts", "IntegerProducts"]

#: Sums that fit the register file beside the operands.
_SUMS = {32: 16, 16: 8}
#: Queries become integers up to 127 * 256, so that their high bytes, rounded, fit a byte; probabilities up to 2^16 - 1.
_QUERY_LIMIT, _PROBABILITY_LIMIT = 32512.0, 65535.0
_TINY = 1e-30
#: Bytes ahead that are asked for, into the second-level cache: twice as fast on Zen 4 as asking the first level.
_AHEAD = 16384
#: Bytes of a cache line.
_LINE = 64


class _Products:
    """What both have in common: where a unit's part of the caches begins, and scales."""

    def __init__(self, kernel: AttendKernel, k: KernelBuilder) -> None:
        self.kernel, self.k, self.layout = kernel, k, kernel.layout
        self.dims = kernel.layout.head_dim
        self.scale = k.load(k.pointer(AttendArgument.NUMBERS))

    def enter(self, elements: Any, tokens: Any) -> None:
        """Begin a unit, ``elements`` after the beginning of the caches and ``tokens`` after that of the scales."""
        k, kind = self.k, self.layout.element_type(self.k)
        self.keys = k.at(k.pointer(AttendArgument.K_CACHE, kind), elements)
        self.values_part = k.at(k.pointer(AttendArgument.V_CACHE, kind), elements)
        if self.layout.dtype is DType.S8:
            self.scales = tuple(
                k.at(k.pointer(argument), tokens) for argument in (AttendArgument.K_SCALES, AttendArgument.V_SCALES)
            )

    def key_scales(self, token: Any) -> Any:
        """Load the scales of a vector of keys."""
        return self.k.load(self.k.at(self.scales[0], token), self.kernel.lanes)

    def value_scales(self, token: Any) -> Any:
        """Load the scales of a vector of values."""
        return self.k.load(self.k.at(self.scales[1], token), self.kernel.lanes)

    def groups(self, count: Any) -> Any:
        """Return how many blocks of 16 tokens hold so many."""
        return self.k.b.sdiv(self.k.b.add(count, self.k.integer(CACHE_BLOCK - 1)), self.k.integer(CACHE_BLOCK))


class FloatProducts(_Products):
    """Multiply-adds in float32: tokens in the lanes for scores, dims for values. Cached elements are widened."""

    def __init__(self, kernel: AttendKernel, k: KernelBuilder) -> None:
        super().__init__(kernel, k)
        self.queries = k.scratch(k.f32, kernel.slots * self.dims)
        self.together = 2 if kernel.lanes == CACHE_BLOCK else 1
        self.ahead = _AHEAD // self.layout.dtype.numpy.itemsize
        self.value_lanes = self.layout.vector(kernel.lanes)

    def query(self, q: Any, slot: Any) -> None:
        """Keep a query, scaled."""
        k = self.k
        with k.loop(0, self.dims) as dim:
            value = k.b.fmul(k.load(k.at(q, dim)), self.scale)
            k.store(value, k.at(self.queries, k.b.mul(slot, k.integer(self.dims)), dim))

    def row_factor(self, slot: Any) -> Any:
        """Return what a row's scores still lack: nothing."""
        return self.k.splat(1.0, 1)

    def _load(self, pointer: Any, lanes: int) -> Any:
        k = self.k
        if self.layout.dtype is DType.F32:
            return k.load(pointer, lanes)
        if self.layout.dtype is DType.F16:
            return load_halves(k, pointer, lanes)
        kind = k.ir.VectorType(k.i8, lanes) if lanes > 1 else k.i8
        stored = k.b.load(k.b.bitcast(pointer, kind.as_pointer()))
        stored.align = 1
        wide = k.b.sext(stored, k.ir.VectorType(k.i32, lanes) if lanes > 1 else k.i32)
        return k.b.sitofp(wide, k.vector_type(lanes))

    def scores(self, memory: Rows, chunk: Any, start: Any, count: Any) -> None:
        """Write the scores of a block; of its last 16 tokens all, whatever is stored there."""
        k, b, lanes, rows = self.k, self.k.b, self.kernel.lanes, self.kernel.rows
        groups = self.groups(count)
        parts = CACHE_BLOCK // lanes
        queries = k.at(self.queries, b.mul(chunk, k.integer(self.dims)))
        with k.loop(0, groups, self.together) as group:
            places = [
                k.at(
                    self.keys,
                    b.mul(self._token(start, k.minimum(k.b.add(group, k.integer(i)), last)), k.integer(self.dims)),
                )
                for last in [b.sub(groups, k.integer(1))]
                for i in range(self.together)
            ]
            vectors = self.together * parts
            zero = [k.splat(0.0, lanes)] * (rows * vectors)
            with k.reduce(0, self.dims, zero) as (dim, sums, following):
                offset = b.mul(dim, k.integer(CACHE_BLOCK))
                for place in places:
                    k.prefetch(k.at(place, offset, self.ahead), 2)
                keys = [self._load(k.at(place, offset, p * lanes), lanes) for place in places for p in range(parts)]
                for row in range(rows):
                    query = k.splat(k.load(k.at(queries, dim, row * self.dims)), lanes)
                    for v in range(vectors):
                        at = row * vectors + v
                        following[at] = k.multiply_add(query, keys[v], sums[at])
            for row in range(rows):
                line = k.at(memory.scores, b.mul(group, k.integer(CACHE_BLOCK)), row * self.kernel.block)
                for v in range(vectors):
                    k.store(sums[row * vectors + v], k.at(line, v * lanes), lanes)

    def _token(self, start: Any, group: Any) -> Any:
        return self.k.b.add(start, self.k.b.mul(group, self.k.integer(CACHE_BLOCK)))

    def probabilities(self, memory: Rows, powers: list[Any], line: Any, row: Any) -> None:
        """Keep a row's probabilities in the place of its scores."""
        lanes = self.kernel.lanes
        for v, value in enumerate(powers):
            self.k.store(value, self.k.at(line, v * lanes), lanes)

    def values(self, memory: Rows, chunk: Any, start: Any, count: Any) -> None:
        """Add the weighted values of a block to the sums."""
        k, b, lanes, rows = self.k, self.k.b, self.value_lanes, self.kernel.rows
        sums_at = k.at(memory.sums, b.mul(chunk, k.integer(self.dims)))
        values = k.at(self.values_part, b.mul(start, k.integer(self.dims)))
        together = max(1, _SUMS[k.target.registers] // rows)
        tiles = list(range(0, self.dims, lanes))
        line_vectors = max(1, _LINE // (self.layout.dtype.numpy.itemsize * lanes))
        for first in range(0, len(tiles), together):
            own = tiles[first : first + together]
            places = [(row, dim) for row in range(rows) for dim in own]
            decays = [k.splat(k.load(k.at(memory.decay, row)), lanes) for row in range(rows)]
            initial = [b.fmul(k.load(k.at(sums_at, row * self.dims + dim), lanes), decays[row]) for row, dim in places]
            with k.reduce(0, count, initial) as (token, sums, following):
                line = k.at(values, b.mul(token, k.integer(self.dims)))
                for dim in own[::line_vectors]:
                    k.prefetch(k.at(line, dim + self.ahead), 2)
                loaded = {dim: self._load(k.at(line, dim), lanes) for dim in own}
                weights = [
                    k.splat(k.load(k.at(memory.scores, token, row * self.kernel.block)), lanes) for row in range(rows)
                ]
                following[:] = [
                    k.multiply_add(weights[row], loaded[dim], sums[n]) for n, (row, dim) in enumerate(places)
                ]
            for n, (row, dim) in enumerate(places):
                k.store(sums[n], k.at(sums_at, row * self.dims + dim), lanes)


class IntegerProducts(_Products):
    """Byte dot products: cached bytes as they are, queries and probabilities as 16 bits in two bytes.

    With 8 bits a query would be off by 0.6 % of a score's spread, and a block with one large probability would lose
    its small ones. A score is exact for the rounded query; a probability is rounded to 2^-16 of the block's largest.
    """

    def __init__(self, kernel: AttendKernel, k: KernelBuilder) -> None:
        super().__init__(kernel, k)
        self.sums_type = k.ir.VectorType(k.i32, CACHE_BLOCK)
        self.bytes_type = k.ir.VectorType(k.i8, 4 * CACHE_BLOCK)
        self.bytes = [k.scratch(k.i8, kernel.slots * self.dims) for _ in range(2)]
        self.factors, self.corrections = k.scratch(k.f32, kernel.slots), k.scratch(k.i32, kernel.slots)
        self.weights = [k.scratch(k.i8, kernel.rows * kernel.block) for _ in range(2)]

    def query(self, q: Any, slot: Any) -> None:
        """Keep a query as high and low bytes, its factor, and what keys that are 128 too large add to its scores."""
        k, b, lanes = self.k, self.k.b, CACHE_BLOCK
        parts = [k.load(k.at(q, dim), lanes) for dim in range(0, self.dims, lanes)]
        largest = k.splat(_TINY, lanes)
        for part in parts:
            largest = k.clamp_below(largest, k.intrinsic(f"llvm.fabs.v{lanes}f32", part.type, part))
        size = k.lane_maximum(largest, lanes)
        factor = k.splat(b.fdiv(k.splat(_QUERY_LIMIT, 1), size), lanes)
        total = k.splat(0.0, lanes)
        for number, part in enumerate(parts):
            whole = self._rounded(b.fmul(part, factor))
            total = b.fadd(total, b.sitofp(whole, part.type))
            high = b.ashr(b.add(whole, k.splat(k.i32(128), lanes)), k.splat(k.i32(8), lanes))
            low = b.sub(whole, b.shl(high, k.splat(k.i32(8), lanes)))
            for value, memory in zip((high, low), self.bytes, strict=True):
                self._store_bytes(value, k.at(memory, b.mul(slot, k.integer(self.dims)), number * lanes))
        k.store(b.fmul(b.fdiv(size, k.splat(_QUERY_LIMIT, 1)), self.scale), k.at(self.factors, slot))
        # At most 512 * 32512: exact in float32.
        sum_of = b.fptosi(k.lane_sum(total, lanes), k.i32)
        b.store(b.mul(sum_of, k.i32(-128)), k.at(self.corrections, slot))

    def _rounded(self, value: Any) -> Any:
        return self.k.nearest_integer(value, CACHE_BLOCK)

    def _store_bytes(self, value: Any, pointer: Any) -> None:
        k = self.k
        kind = k.ir.VectorType(k.i8, CACHE_BLOCK)
        k.b.store(k.b.trunc(value, kind), k.b.bitcast(pointer, kind.as_pointer())).align = 1

    def row_factor(self, slot: Any) -> Any:
        """Return what a row's scores are to be multiplied by."""
        return self.k.load(self.k.at(self.factors, slot))

    def _loaded(self, pointer: Any) -> Any:
        """Load a tile."""
        value = self.k.b.load(self.k.b.bitcast(pointer, self.bytes_type.as_pointer()))
        value.align = 1
        return value

    def _spread(self, pointer: Any) -> Any:
        """Load four bytes into every lane."""
        k = self.k
        word = k.b.load(k.b.bitcast(pointer, k.i32.as_pointer()))
        word.align = 1
        return k.b.bitcast(k.splat(word, CACHE_BLOCK), self.bytes_type)

    def _dot(self, sums: Any, unsigned: Any, signed: Any) -> Any:
        """Add the products of four neighbouring bytes to every lane."""
        return self.k.intrinsic("llvm.x86.avx512.vpdpbusd.512", sums.type, sums, unsigned, signed)

    def _joined(self, high: Any, low: Any) -> Any:
        k = self.k
        return k.b.add(k.b.shl(high, k.splat(k.i32(8), CACHE_BLOCK)), low)

    def scores(self, memory: Rows, chunk: Any, start: Any, count: Any) -> None:
        """Write the scores of a block, two times 16 tokens at once, and ask for the values that come next."""
        k, b, rows = self.k, self.k.b, self.kernel.rows
        groups = self.groups(count)
        queries = [k.at(memory_, b.mul(chunk, k.integer(self.dims))) for memory_ in self.bytes]
        zero = k.ir.Constant(self.sums_type, [0] * CACHE_BLOCK)
        tokens = k.at(self.keys, b.mul(start, k.integer(self.dims)))
        values = k.at(self.values_part, b.mul(start, k.integer(self.dims)), _AHEAD)
        with k.loop(0, groups, 2) as group:
            for scales in self.scales:
                for line in range(2):
                    place = b.add(start, b.mul(group, k.integer(CACHE_BLOCK)))
                    k.prefetch(k.at(scales, place, (1 + line) * CACHE_BLOCK + 2 * self.kernel.block), 2)
            numbers = [group, k.minimum(b.add(group, k.integer(1)), b.sub(groups, k.integer(1)))]
            offsets = [b.mul(number, k.integer(CACHE_BLOCK * self.dims)) for number in numbers]
            corrections = [k.b.load(k.at(self.corrections, chunk, row)) for row in range(rows)]
            initial = [
                k.splat(corrections[row], CACHE_BLOCK) if low else zero
                for row in range(rows)
                for low in (False, True)
                for _ in offsets
            ]
            with k.reduce(0, self.dims, initial, 4) as (dim, sums, following):
                line = b.mul(dim, k.integer(CACHE_BLOCK))
                keys = [self._loaded(k.at(tokens, offset, line)) for offset in offsets]
                for offset in offsets:
                    k.prefetch(k.at(values, offset, line), 2)
                at = 0
                for row in range(rows):
                    for part in queries:
                        query = self._spread(k.at(part, dim, row * self.dims))
                        for key in keys:
                            following[at] = self._dot(sums[at], key, query)
                            at += 1
            for row in range(rows):
                for i in range(2):
                    score = self._joined(sums[4 * row + i], sums[4 * row + 2 + i])
                    score = b.sitofp(score, k.vector_type(CACHE_BLOCK))
                    place = b.add(b.mul(group, k.integer(CACHE_BLOCK)), k.integer(i * CACHE_BLOCK))
                    k.store(score, k.at(memory.scores, place, row * self.kernel.block), CACHE_BLOCK)

    def probabilities(self, memory: Rows, powers: list[Any], line: Any, row: Any) -> None:
        """Keep a row's probabilities as high and low bytes, and their factor."""
        k, b, lanes = self.k, self.k.b, CACHE_BLOCK
        largest = powers[0]
        for value in powers[1:]:
            largest = k.clamp_below(largest, value)
        size = k.clamp_below(k.lane_maximum(largest, lanes), k.splat(_TINY, 1))
        factor = k.splat(b.fdiv(k.splat(_PROBABILITY_LIMIT, 1), size), lanes)
        k.store(b.fdiv(size, k.splat(_PROBABILITY_LIMIT, 1)), k.at(memory.factor, row))
        for v, value in enumerate(powers):
            whole = self._rounded(b.fmul(value, factor))
            high = b.lshr(whole, k.splat(k.i32(8), lanes))
            for part, memory_ in zip((high, whole), self.weights, strict=True):
                self._store_bytes(part, k.at(memory_, b.mul(row, k.integer(self.kernel.block)), v * lanes))

    def values(self, memory: Rows, chunk: Any, start: Any, count: Any) -> None:
        """Add the weighted values of a block to the sums, and ask for the keys of the next one."""
        k, b, rows, lanes = self.k, self.k.b, self.kernel.rows, CACHE_BLOCK
        quads = b.sdiv(b.add(count, k.integer(3)), k.integer(4))
        sums_at = k.at(memory.sums, b.mul(chunk, k.integer(self.dims)))
        values = k.at(self.values_part, b.mul(start, k.integer(self.dims)))
        next_start = b.add(start, k.integer(self.kernel.block))
        following_keys = k.at(self.keys, b.mul(next_start, k.integer(self.dims)), _AHEAD)
        zero = k.ir.Constant(self.sums_type, [0] * lanes)
        tiles = list(range(0, self.dims, lanes))
        together = max(1, _SUMS[32] // (2 * rows))
        for first in range(0, len(tiles), together):
            own = tiles[first : first + together]
            initial = [zero] * (2 * rows * len(own))
            with k.reduce(0, quads, initial) as (quad, sums, following):
                line = b.mul(quad, k.integer(4 * self.dims))
                loaded = [self._loaded(k.at(values, line, 4 * dim)) for dim in own]
                for dim in own:
                    k.prefetch(k.at(following_keys, line, 4 * dim), 2)
                at = 0
                for row in range(rows):
                    for part in self.weights:
                        place = b.add(b.mul(quad, k.integer(4)), k.integer(row * self.kernel.block))
                        weights = self._spread(k.at(part, place))
                        for value in loaded:
                            following[at] = self._dot(sums[at], weights, value)
                            at += 1
            for row in range(rows):
                decay, factor = (k.splat(k.load(k.at(m, row)), lanes) for m in (memory.decay, memory.factor))
                for i, dim in enumerate(own):
                    base = 2 * row * len(own)
                    total = b.sitofp(self._joined(sums[base + i], sums[base + len(own) + i]), k.vector_type(lanes))
                    place = k.at(sums_at, row * self.dims + dim)
                    old = b.fmul(k.load(place, lanes), decay)
                    k.store(k.multiply_add(total, factor, old), place, lanes)

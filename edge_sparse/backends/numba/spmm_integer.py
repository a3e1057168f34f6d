"""``spmm_s4_gsGx1_rows``, ``spmm_s8_...``: integer weights x rows of quantised tokens, output rows in the vector lanes.

A strip's weights pass once while all tokens are computed: for every tile of tokens, the strip's kept columns of the
quantised rows are packed together (not for dense matrices), then every ``segment`` columns are summed in integers and
added to float32 sums with the segment's scales.

Instructions multiply unsigned by signed bytes. For one token weights are unsigned, and every integer sum begins with
minus their offset times the sum of x; for several tokens x is unsigned, and it begins with minus x's offset times the
sum of the weights, which all tokens share.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.integer_dot import IntegerDot
from edge_sparse.backends.numba.integer_gather import gather_strip, sum_segments
from edge_sparse.backends.numba.quantise_rows import quantised_stride
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.spmm_kernel import Epilogue
from edge_sparse.plan import DType

__all__ = ["IntegerArgument", "SpmmInteger"]

#: Bytes ahead of the weights in use that are asked for: DRAM answers while this many are computed.
PREFETCH_BYTES = 8192
#: Granules of a segment that are written out; longer segments loop.
_UNROLLED = 16


class IntegerArgument(enum.IntEnum):
    """Positions in the kernel's argument table.

    ``STRIPS`` holds (first granule, first row of scales, kept columns) of every strip as int64; ``BITMAP`` the kept
    columns in whole 64-bit words. ``Y`` and ``RESIDUAL`` are float32 with strides in elements.
    """

    INTEGERS = 0
    ROW_SCALES = 1
    SUMS = 2
    VALUES = 3
    SCALES = 4
    STRIPS = 5
    BITMAP = 6
    BIAS = 7
    Y = 8
    Y_STRIDE = 9
    RESIDUAL = 10
    RESIDUAL_STRIDE = 11
    TOKENS = 12


@dataclass(frozen=True)
class SpmmInteger:
    """Emitter of one kernel; work units are strips.

    Attributes
    ----------
    token_tiles : tuple of int
        Tokens that are computed together, the most first; the last is 1.
    several : bool
        Whether the code is for several tokens.
    """

    dtype: DType
    group: int
    columns: int
    segment: int
    sparse: bool
    dot: IntegerDot
    token_tiles: tuple[int, ...]
    several: bool
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """Name of the kernel; it tells everything that the code depends on."""
        tiles = "_".join(map(str, self.token_tiles))
        kind = "sparse" if self.sparse else "dense"
        return (
            f"spmm_{self.dtype.name.lower()}_gs{self.group}x1_rows_{kind}_c{self.columns}_s{self.segment}"
            f"_t{tiles}{'s' if self.several else ''}_{self.dot.name}_{self.epilogue.name}"
        )

    @property
    def granule(self) -> int:
        """Columns that are stored together."""
        return 8 if self.dtype is DType.S4 else 4

    @property
    def vectors(self) -> int:
        """Vectors of rows."""
        return self.group // self.dot.lanes

    @property
    def _segments(self) -> int:
        return -(-self.columns // self.segment) if self.segment else 1

    @property
    def _offset(self) -> int:
        return self.dot.x_offset(self.dtype) if self.several else self.dot.weight_offset(self.dtype)

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel."""
        stride, tile = quantised_stride(self.columns), self.token_tiles[0]
        packed = self._stack(k, k.i8, tile * stride) if self.sparse else None
        own = self.several or self.sparse
        sums = self._stack(k, k.i32, self._segments * self.group) if own and self._offset else None
        with k.loop(k.begin, k.end) as strip:
            record = k.at(k.pointer(IntegerArgument.STRIPS, k.i64), k.b.mul(strip, k.integer(3)))
            granules = k.b.mul(k.load_int(record, 0), k.integer(4 * self.group))
            values = k.at(k.pointer(IntegerArgument.VALUES, k.i8), granules)
            first = k.b.mul(k.load_int(record, 1), k.integer(self.group))
            scales = k.at(k.pointer(IntegerArgument.SCALES, k.f16), first)
            weights = (values, scales, k.load_int(record, 2))
            if self.several and sums is not None:
                self._sum_weights(k, values, weights[2], sums)
            self._over_tokens(k, strip, weights, packed, sums)

    def _stack(self, k: KernelBuilder, kind: Any, count: int) -> Any:
        with k.b.goto_entry_block():
            memory = k.b.alloca(kind, count)
        memory.align = 64
        return memory

    def _sum_weights(self, k: KernelBuilder, values: Any, count: Any, sums: Any) -> None:
        """Write minus the offset of x times the sum of the weights of every segment and row."""
        b, lanes = k.b, self.dot.lanes
        granules = b.sdiv(b.add(count, k.integer(self.granule - 1)), k.integer(self.granule))
        length = k.integer(self.segment // self.granule) if self.segment else granules
        segments = b.sdiv(b.add(granules, b.sub(length, k.integer(1))), k.maximum(length, k.integer(1)))
        zero = k.ir.Constant(self.dot.sums_type(k), [0] * lanes)
        with k.loop(0, segments) as segment:
            first = b.mul(segment, length)
            with k.reduce(first, k.minimum(b.add(first, length), granules), [zero] * self.vectors) as (
                g,
                carried,
                after,
            ):
                place = k.at(values, b.mul(g, k.integer(4 * self.group)))
                for vector in range(self.vectors):
                    stored = self.dot.load(k, k.at(place, vector * 4 * lanes))
                    total = carried[vector]
                    for part in self.dot.weights(k, stored, self.dtype, signed=True):
                        total = self.dot.add(k, total, self.dot.constant(k, self._offset), part)
                    after[vector] = total
            for vector in range(self.vectors):
                place = k.at(sums, b.mul(segment, k.integer(self.group)), vector * lanes)
                b.store(b.sub(zero, carried[vector]), b.bitcast(place, zero.type.as_pointer())).align = 4

    def _over_tokens(self, k: KernelBuilder, strip: Any, weights: tuple[Any, Any, Any], packed: Any, sums: Any) -> None:
        """Cover all tokens with the largest tiles that fit; the last tile moves back and computes some again."""
        b, tokens = k.b, k.arg(IntegerArgument.TOKENS)
        upper: Any = None
        for tile in self.token_tiles:
            fits = b.icmp_signed(">=", tokens, k.integer(tile))
            chosen = fits if upper is None else b.and_(fits, b.icmp_signed("<", tokens, k.integer(upper)))
            upper = tile
            with b.if_then(chosen), k.loop(0, tokens, tile) as at:
                first = k.minimum(at, b.sub(tokens, k.integer(tile)))
                self._tile(k, strip, weights, first, tile, packed, sums)

    def _tile(
        self, k: KernelBuilder, strip: Any, weights: tuple[Any, Any, Any], first: Any, tile: int, packed: Any, sums: Any
    ) -> None:
        b, stride = k.b, quantised_stride(self.columns)
        count = weights[2]
        x = k.at(k.pointer(IntegerArgument.INTEGERS, k.i8), b.mul(first, k.integer(stride)))
        if self.sparse:
            words = -(-self.columns // 64)
            bitmap = k.at(k.pointer(IntegerArgument.BITMAP, k.i64), b.mul(strip, k.integer(words)))
            rows, targets = ([k.at(base, token * stride) for token in range(tile)] for base in (x, packed))
            gather_strip(k, self.dot, rows, bitmap, words, targets, count)
            if not self.several and sums is not None:
                sum_segments(k, packed, sums, count, self.segment or stride - 64, -self._offset)
            x = packed
        elif not self.several and self._offset:
            sums = k.at(k.pointer(IntegerArgument.SUMS, k.i32), b.mul(first, k.integer(self._segments)))
        totals = self._strip(k, *weights, x, sums, tile)
        self._finish(k, strip, first, tile, totals)

    # --- the sums of one strip --------------------------------------------------------------------------------------

    def _strip(self, k: KernelBuilder, values: Any, scales: Any, count: Any, x: Any, sums: Any, tile: int) -> list[Any]:
        """Return float32 sums, vectors of rows inside tokens."""
        b = k.b
        zeros = [k.splat(0.0, self.dot.lanes)] * (tile * self.vectors)
        whole: Any = k.integer(0)
        totals = zeros
        if self.segment:
            granules = self.segment // self.granule
            whole = b.sdiv(count, k.integer(self.segment))
            with k.reduce(0, whole, totals) as (segment, carried, following):
                at = k.at(values, b.mul(segment, k.integer(granules * 4 * self.group)))
                column = k.at(x, b.mul(segment, k.integer(self.segment)))
                integers = self._start(k, sums, segment, tile)
                if granules <= _UNROLLED:
                    for g in range(granules):
                        place = k.at(at, g * 4 * self.group)
                        integers = self._granule(k, place, k.at(column, g * self.granule), integers, tile)
                else:
                    integers = self._granules(k, at, column, k.integer(granules), integers, tile)
                following[:] = self._scaled(k, k.at(scales, b.mul(segment, k.integer(self.group))), integers, carried)
            totals = list(carried)
        return self._rest(k, values, scales, count, whole, x, sums, totals, tile)

    def _rest(
        self,
        k: KernelBuilder,
        values: Any,
        scales: Any,
        count: Any,
        whole: Any,
        x: Any,
        sums: Any,
        totals: list[Any],
        tile: int,
    ) -> list[Any]:
        """Add the last segment where it is shorter than the others."""
        b = k.b
        if not self.sparse and self.segment and self.columns % self.segment == 0:
            return totals
        done = b.mul(whole, k.integer(self.segment or 0))
        rest = b.sub(count, done)
        granules = b.sdiv(b.add(rest, k.integer(self.granule - 1)), k.integer(self.granule))
        some = b.select(b.icmp_signed(">", rest, k.integer(0)), k.integer(1), k.integer(0))
        # A loop of at most one pass carries the sums around the branch.
        with k.reduce(0, some, totals) as (_, carried, following):
            at = k.at(values, b.mul(b.sdiv(done, k.integer(self.granule)), k.integer(4 * self.group)))
            integers = self._start(k, sums, whole, tile)
            integers = self._granules(k, at, k.at(x, done), granules, integers, tile)
            following[:] = self._scaled(k, k.at(scales, b.mul(whole, k.integer(self.group))), integers, carried)
        return list(carried)

    def _start(self, k: KernelBuilder, sums: Any, segment: Any, tile: int) -> list[Any]:
        """Return the integer sums with which a segment begins."""
        b, kind = k.b, self.dot.sums_type(k)
        if sums is None:
            return [k.ir.Constant(kind, [0] * self.dot.lanes)] * (tile * self.vectors)
        if not self.several:
            return [k.splat(b.load(k.at(sums, segment)), self.dot.lanes)] * self.vectors
        vectors = []
        for vector in range(self.vectors):
            place = k.at(sums, b.mul(segment, k.integer(self.group)), vector * self.dot.lanes)
            vectors.append(b.load(b.bitcast(place, kind.as_pointer())))
            vectors[-1].align = 4
        return vectors * tile

    def _granules(self, k: KernelBuilder, at: Any, x: Any, count: Any, integers: list[Any], tile: int) -> list[Any]:
        b = k.b
        with k.reduce(0, count, integers) as (g, carried, following):
            place = k.at(at, b.mul(g, k.integer(4 * self.group)))
            following[:] = self._granule(k, place, k.at(x, b.mul(g, k.integer(self.granule))), list(carried), tile)
        return list(carried)

    def _granule(self, k: KernelBuilder, at: Any, x: Any, integers: list[Any], tile: int) -> list[Any]:
        """Add one granule of the strip to the integer sums of every token."""
        stride, result = quantised_stride(self.columns), list(integers)
        k.prefetch(k.at(at, PREFETCH_BYTES))
        for vector in range(self.vectors):
            stored = self.dot.load(k, k.at(at, vector * 4 * self.dot.lanes))
            for position, part in enumerate(self.dot.weights(k, stored, self.dtype, signed=self.several)):
                for token in range(tile):
                    four = self.dot.broadcast(k, k.at(x, token * stride + 4 * position))
                    operands = (four, part) if self.several and self._offset else (part, four)
                    place = token * self.vectors + vector
                    result[place] = self.dot.add(k, result[place], *operands, signed=not self._offset)
        return result

    def _scaled(self, k: KernelBuilder, scales: Any, integers: list[Any], totals: list[Any]) -> list[Any]:
        b, lanes = k.b, self.dot.lanes
        floats, halves = k.vector_type(lanes), k.ir.VectorType(k.f16, lanes)
        result = []
        steps = []
        for vector in range(self.vectors):
            stored = b.load(b.bitcast(k.at(scales, vector * lanes), halves.as_pointer()))
            stored.align = 2
            steps.append(b.fpext(stored, floats))
        for place, (integer, total) in enumerate(zip(integers, totals, strict=True)):
            result.append(k.multiply_add(b.sitofp(integer, floats), steps[place % self.vectors], total))
        return result

    def _finish(self, k: KernelBuilder, strip: Any, first: Any, tile: int, totals: list[Any]) -> None:
        """Scale by the tokens, add bias and residual, activate, store."""
        b, lanes = k.b, self.dot.lanes
        row = b.mul(strip, k.integer(self.group))
        for token in range(tile):
            number = b.add(first, k.integer(token))
            step = k.splat(k.load(k.at(k.pointer(IntegerArgument.ROW_SCALES), number)), lanes)
            y = k.at(k.pointer(IntegerArgument.Y), b.mul(number, k.arg(IntegerArgument.Y_STRIDE)), row)
            other = k.at(
                k.pointer(IntegerArgument.RESIDUAL), b.mul(number, k.arg(IntegerArgument.RESIDUAL_STRIDE)), row
            )
            for vector in range(self.vectors):
                value = b.fmul(totals[token * self.vectors + vector], step)
                if self.epilogue.bias:
                    bias = k.at(k.pointer(IntegerArgument.BIAS), row, vector * lanes)
                    value = b.fadd(value, k.load(bias, lanes))
                if self.epilogue.residual:
                    value = b.fadd(value, k.load(k.at(other, vector * lanes), lanes))
                k.store(self.epilogue.apply(k, value, lanes), k.at(y, vector * lanes), lanes)

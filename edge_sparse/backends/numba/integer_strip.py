"""The sums of one strip of integer weights over a tile of tokens: integer sums of segments, scaled and added up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.integer_dot import IntegerDot
from edge_sparse.backends.numba.quantise_rows import quantised_stride
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.plan import DType

__all__ = ["PREFETCH_BYTES", "IntegerStrip"]

#: Bytes ahead of the weights in use that are asked for: DRAM answers while this many are computed.
PREFETCH_BYTES = 8192
#: Granules of a segment that are written out; longer segments loop.
_UNROLLED = 16


@dataclass(frozen=True)
class IntegerStrip:
    """How the strips of a band are stored and multiplied.

    Attributes
    ----------
    several : bool
        Whether the code is for several tokens: then x is unsigned and weights are signed, else the other way round.
    """

    dtype: DType
    group: int
    columns: int
    segment: int
    sparse: bool
    dot: IntegerDot
    several: bool

    @property
    def granule(self) -> int:
        """Columns that are stored together."""
        return 8 if self.dtype is DType.S4 else 4

    @property
    def vectors(self) -> int:
        """Vectors of rows."""
        return self.group // self.dot.lanes

    @property
    def segments(self) -> int:
        """Segments of a strip at most."""
        return -(-self.columns // self.segment) if self.segment else 1

    @property
    def offset(self) -> int:
        """What the unsigned operand exceeds its value by; 0 where both are signed."""
        return self.dot.x_offset(self.dtype) if self.several else self.dot.weight_offset(self.dtype)

    def sum_weights(self, k: KernelBuilder, values: Any, count: Any, sums: Any) -> None:
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
                        total = self.dot.add(k, total, self.dot.constant(k, self.offset), part)
                    after[vector] = total
            for vector in range(self.vectors):
                place = k.at(sums, b.mul(segment, k.integer(self.group)), vector * lanes)
                b.store(b.sub(zero, carried[vector]), b.bitcast(place, zero.type.as_pointer())).align = 4

    def sums(self, k: KernelBuilder, values: Any, scales: Any, count: Any, x: Any, sums: Any, tile: int) -> list[Any]:
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
                    operands = (four, part) if self.several and self.offset else (part, four)
                    place = token * self.vectors + vector
                    result[place] = self.dot.add(k, result[place], *operands, signed=not self.offset)
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

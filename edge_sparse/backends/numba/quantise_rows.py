"""``quantise_rows``: rows of float32 become rows of s8 with a scale each, and sums of segments.

``q = rint(x * (127 / m))`` with m the largest magnitude of the row; one unit is worth m / 127.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.simd import KernelBuilder

__all__ = ["QuantiseArgument", "QuantiseRows", "largest_magnitude", "quantised_stride", "rounded"]

#: Rows whose largest magnitude is below this count as zero, so that 127 over it is finite.
_SMALLEST = float(2.0**-100)


def quantised_stride(columns: int) -> int:
    """Return the distance of quantised rows in bytes: whole vectors of 64, and one of zeros after them."""
    return -(-columns // 64) * 64 + 64


def largest_magnitude(k: KernelBuilder, x: Any, columns: int) -> tuple[Any, Any]:
    """Return the largest magnitude m of a row and 127 / m, or 0 if m is as good as 0."""
    b, lanes = k.b, k.target.lanes
    whole = columns // lanes * lanes
    zero = k.splat(0.0, lanes)
    with k.reduce(0, whole, [zero], lanes) as (i, carried, following):
        size = k.intrinsic(f"llvm.fabs.v{lanes}f32", zero.type, k.load(k.at(x, i), lanes))
        following[0] = k.clamp_below(size, carried[0])
    largest, width = carried[0], lanes
    while width > 1:
        width //= 2
        kind = k.ir.VectorType(k.i32, width)
        low, high = (
            b.shuffle_vector(largest, largest, k.ir.Constant(kind, [first + lane for lane in range(width)]))
            for first in (0, width)
        )
        largest = k.clamp_below(low, high)
    largest = b.extract_element(largest, k.i32(0))
    with k.reduce(whole, columns, [largest]) as (i, carried, following):
        following[0] = k.clamp_below(k.intrinsic("llvm.fabs.f32", k.f32, k.load(k.at(x, i))), carried[0])
    largest = carried[0]
    some = b.fcmp_ordered(">=", largest, k.splat(_SMALLEST, 1))
    return largest, b.select(some, b.fdiv(k.splat(127.0, 1), largest), k.splat(0.0, 1))


def rounded(k: KernelBuilder, x: Any, inverse: Any, lanes: int) -> Any:
    """Return rint(x * inverse), ties to even, as 32-bit integers."""
    return k.nearest_integer(k.b.fmul(x, k.splat(inverse, lanes)), lanes)


class QuantiseArgument(enum.IntEnum):
    """Positions in the kernel's argument table; strides are in elements."""

    X = 0
    X_STRIDE = 1
    INTEGERS = 2
    SCALES = 3
    SUMS = 4


@dataclass(frozen=True)
class QuantiseRows:
    """Emitter of one kernel; work units are rows.

    ``SCALES`` receives m / 127 of every row. With ``segment`` > 0, ``SUMS`` receives ``-zero_point`` times the sum of
    every so many integers, int32 of shape (rows, segments). ``offset`` is added to the integers that are stored.
    """

    columns: int
    segment: int
    zero_point: int
    offset: int

    @property
    def name(self) -> str:
        """Name of the kernel; it tells everything that the code depends on."""
        return f"quantise_rows_c{self.columns}_s{self.segment}_z{self.zero_point}_o{self.offset}"

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel."""
        b = k.b
        stride = quantised_stride(self.columns)
        segments = -(-self.columns // self.segment) if self.segment else 0
        with k.loop(k.begin, k.end) as row:
            x = k.at(k.pointer(QuantiseArgument.X), b.mul(row, k.arg(QuantiseArgument.X_STRIDE)))
            q = k.at(k.pointer(QuantiseArgument.INTEGERS, k.i8), b.mul(row, k.integer(stride)))
            largest, inverse = largest_magnitude(k, x, self.columns)
            k.store(b.fmul(largest, k.splat(1 / 127, 1)), k.at(k.pointer(QuantiseArgument.SCALES), row))
            self._convert(k, x, q, inverse, stride)
            if segments:
                sums = k.at(k.pointer(QuantiseArgument.SUMS, k.i32), b.mul(row, k.integer(segments)))
                self._sums(k, q, sums, segments)

    def _convert(self, k: KernelBuilder, x: Any, q: Any, inverse: Any, stride: int) -> None:
        lanes = k.target.lanes
        whole = self.columns // lanes * lanes
        with k.loop(0, whole, lanes) as i:
            self._store(k, k.load(k.at(x, i), lanes), inverse, k.at(q, i), lanes)
        with k.loop(whole, self.columns) as i:
            self._store(k, k.load(k.at(x, i)), inverse, k.at(q, i), 1)
        with k.loop(self.columns, stride) as i:
            k.b.store(k.i8(0), k.at(q, i))

    def _store(self, k: KernelBuilder, x: Any, inverse: Any, q: Any, lanes: int) -> None:
        b = k.b
        small = k.i8 if lanes == 1 else k.ir.VectorType(k.i8, lanes)
        value = b.trunc(rounded(k, x, inverse, lanes), small)
        offset = k.i8(self.offset) if lanes == 1 else k.ir.Constant(small, [self.offset] * lanes)
        b.store(b.add(value, offset), b.bitcast(q, small.as_pointer())).align = 1

    def _sums(self, k: KernelBuilder, q: Any, sums: Any, segments: int) -> None:
        """Sum the integers of every segment; the row is zero beyond its columns."""
        b = k.b
        width = 8 if self.segment % 8 == 0 else 4
        words = k.ir.VectorType(k.i32, width)
        with k.loop(0, segments) as segment:
            first = b.mul(segment, k.integer(self.segment))
            last = k.minimum(b.add(first, k.integer(self.segment)), k.integer(quantised_stride(self.columns) - 64))
            zero = k.ir.Constant(words, [0] * width)
            with k.reduce(first, last, [zero], width) as (i, carried, following):
                kind = k.ir.VectorType(k.i8, width)
                part = b.load(b.bitcast(k.at(q, i), kind.as_pointer()))
                part.align = 1
                following[0] = b.add(carried[0], b.sext(part, words))
            total = k.intrinsic(f"llvm.vector.reduce.add.v{width}i32", k.i32, carried[0])
            b.store(b.mul(total, k.i32(-self.zero_point)), k.at(sums, segment))

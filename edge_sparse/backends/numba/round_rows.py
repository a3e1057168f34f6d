"""``round_rows_f32``: rows as their quantised selves in float32, for products of widened integer matrices."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sparse.backends.numba.quantise_rows import largest_magnitude, rounded
from edge_sparse.backends.numba.simd import KernelBuilder

__all__ = ["RoundRows"]


@dataclass(frozen=True)
class RoundRows:
    """Emitter of one kernel; work units are rows. Arguments: x, its stride in elements, y, whose rows are packed."""

    columns: int

    @property
    def name(self) -> str:
        """Name of the kernel; it tells everything that the code depends on."""
        return f"round_rows_f32_c{self.columns}"

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel."""
        b, lanes = k.b, k.target.lanes
        whole = self.columns // lanes * lanes
        with k.loop(k.begin, k.end) as row:
            x = k.at(k.pointer(0), b.mul(row, k.arg(1)))
            y = k.at(k.pointer(2), b.mul(row, k.integer(self.columns)))
            largest, inverse = largest_magnitude(k, x, self.columns)
            step = b.fmul(largest, k.splat(1 / 127, 1))
            for first, last, width in ((0, whole, lanes), (whole, self.columns, 1)):
                with k.loop(first, last, width) as i:
                    integer = rounded(k, k.load(k.at(x, i), width), inverse, width)
                    value = b.sitofp(integer, k.vector_type(width))
                    k.store(b.fmul(value, k.splat(step, width)), k.at(y, i), width)

"""``spmm_f32_gsGx1_chw``: group-sparse matrix x pixels, pixels in the vector lanes, one row's weight broadcast.

The register tile is ``rows`` output rows x ``size`` vectors of pixels. A kept column costs ``size`` loads of
pixels and ``rows`` broadcasts for ``rows * size`` multiply-adds; the tile is the largest that the register file
holds (accumulators, pixels and one weight), so the multiply-adds decide the time.

Kept columns lie at irregular distances, which no hardware prefetcher follows, so the pixels of a later column are
prefetched. With that, blocking the columns for the first-level cache only cost (measured on Zen 3: 5-15 %), and so did
an outer loop over strips, which streams all pixels once per strip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.spmm_kernel import Argument, SpmmKernel
from edge_sparse.backends.numba.target import Target

__all__ = ["PREFETCH_DISTANCE", "SpmmChw", "choose_tile"]

#: Columns between a prefetch and its use. 8 did as well as or better than 4 and 0 on MobileNet's 1x1 shapes (Zen 3).
PREFETCH_DISTANCE = 8


def choose_tile(target: Target, group: int) -> tuple[int, int]:
    """Return (rows, vectors) of the largest register tile whose rows divide the group."""
    if target.registers >= 32:
        rows, vectors = {1: (1, 12), 2: (2, 8), 4: (4, 6)}.get(group, (8, 3))
        return rows, vectors
    return {1: (1, 7), 2: (2, 4)}.get(group, (4, 3))


@dataclass(frozen=True)
class SpmmChw(SpmmKernel):
    """Emitter of one kernel; ``rows``, the rows of a register tile, divides ``group``."""

    rows: int

    @property
    def name(self) -> str:
        """Name of the kernel; it tells everything that the code depends on."""
        tile = f"r{self.rows}v{self.size}" + ("m" if self.mixed else "")
        return f"spmm_f32_gs{self.group}x1_chw_{tile}_{self.epilogue.name}"

    def block(self, k: KernelBuilder, tiles: tuple[Any, Any], strips: tuple[Any, Any]) -> None:
        """Loop over tiles outermost: all strips pass over the pixels of one tile while they are in the cache."""

        def all_strips(tile: Any, vectors: int) -> None:
            with k.loop(*strips) as strip:
                self._strip(k, tile, strip, vectors)

        self.over_tiles(k, tiles, all_strips)

    def _strip(self, k: KernelBuilder, tile: Any, strip: Any, vectors: int) -> None:
        first, count, offsets, values = self.strip(k, strip)
        x = k.at(k.pointer(Argument.X), self.record(k, tile, 0))
        with k.loop(0, self.group, self.rows) as inside:
            self._tile(k, tile, x, offsets, k.at(values, inside), count, k.b.add(first, inside), vectors)

        def zero(offset: Any, pixels: Any) -> None:
            stride = k.arg(Argument.Y_STRIDE)
            with k.loop(0, k.integer(self.group)) as row, k.loop(0, pixels) as pixel:
                plane = k.at(k.pointer(Argument.Y), offset, k.b.mul(k.b.add(first, row), stride))
                k.store(k.splat(0.0, 1), k.at(plane, pixel))

        self.over_zeros(k, tile, zero)

    def _tile(
        self, k: KernelBuilder, tile: Any, x: Any, offsets: Any, values: Any, count: Any, row: Any, vectors: int
    ) -> None:
        b, lanes = k.b, k.target.lanes
        initial = []
        for r in range(self.rows):
            bias = k.splat(0.0, lanes)
            if self.epilogue.bias:
                bias = k.splat(k.load(k.at(k.pointer(Argument.BIAS), row, r)), lanes)
            initial += [bias] * vectors
        with k.reduce(0, count, initial) as (kept, sums, following):
            later = k.at(x, k.load_int(offsets, b.add(kept, k.integer(PREFETCH_DISTANCE))))
            for element in range(0, vectors * lanes, 16):
                k.prefetch(k.at(later, element))
            column = k.at(x, k.load_int(offsets, kept))
            pixels = [k.load(k.at(column, v * lanes), lanes) for v in range(vectors)]
            weights = k.at(values, b.mul(kept, k.integer(self.group)))
            for r in range(self.rows):
                weight = k.splat(k.load(k.at(weights, r)), lanes)
                for v in range(vectors):
                    i = r * vectors + v
                    following[i] = k.multiply_add(weight, pixels[v], sums[i])
        y = k.at(k.pointer(Argument.Y), self.record(k, tile, 1))
        residual = k.at(k.pointer(Argument.RESIDUAL), self.record(k, tile, 2))
        for i, (r, v) in enumerate((r, v) for r in range(self.rows) for v in range(vectors)):
            value, line = sums[i], b.add(row, k.integer(r))
            if self.epilogue.residual:
                other = k.at(residual, b.mul(line, k.arg(Argument.RESIDUAL_STRIDE)), v * lanes)
                value = b.fadd(value, k.load(other, lanes))
            address = k.at(y, b.mul(line, k.arg(Argument.Y_STRIDE)), v * lanes)
            k.store(self.epilogue.apply(k, value, lanes), address, lanes)

"""``spmm_f32_gsGx1_chw``: group-sparse matrix x pixels, pixels in the vector lanes, one row's weight broadcast.

The register tile is ``rows`` output rows x ``vectors`` vectors of pixels. A kept column costs ``vectors`` loads of
pixels and ``rows`` broadcasts for ``rows * vectors`` multiply-adds; the tile is the largest that the register file
holds (accumulators, pixels and one weight), so the multiply-adds decide the time.

Kept columns lie at irregular distances, which no hardware prefetcher follows, so the pixels of a later column are
prefetched. With that, blocking the columns for the first-level cache only cost (measured on Zen 3: 5-15 %), and so did
an outer loop over strips, which streams all pixels once per strip.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.activation import activate
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.target import Target
from edge_sparse.plan import Activation

__all__ = ["Argument", "SpmmChw", "choose_tile"]


class Argument(enum.IntEnum):
    """Positions in the kernel's argument table."""

    X = 0
    Y = 1
    VALUES = 2
    OFFSETS = 3
    STARTS = 4
    BIAS = 5
    ROW_STRIDE = 6
    STRIPS = 7
    WIDE_TILES = 8


#: Columns between a prefetch and its use. 8 did as well as or better than 4 and 0 on MobileNet's 1x1 shapes (Zen 3).
PREFETCH_DISTANCE = 8


def choose_tile(target: Target, group: int) -> tuple[int, int]:
    """Return (rows, vectors) of the largest register tile whose rows divide the group."""
    if target.registers >= 32:
        rows, vectors = {1: (1, 12), 2: (2, 8), 4: (4, 6)}.get(group, (8, 3))
        return rows, vectors
    return {1: (1, 7), 2: (2, 4)}.get(group, (4, 3))


@dataclass(frozen=True)
class SpmmChw:
    """Emitter of one kernel.

    Attributes
    ----------
    group, rows : int
        Rows of a strip and of a register tile; ``rows`` divides ``group``.
    vectors : int
        Vectors of pixels in the wide tiles, which come first.
    mixed : bool
        Whether tiles one vector narrower follow the wide ones.
    activation, bias
        The epilogue.
    """

    group: int
    rows: int
    vectors: int
    mixed: bool
    bias: bool
    activation: Activation
    clamp_low: float = 0.0
    clamp_high: float = 0.0

    @property
    def name(self) -> str:
        """Name of the kernel; it tells everything that the code depends on."""
        tile = f"r{self.rows}v{self.vectors}" + ("m" if self.mixed else "")
        epilogue = self.activation.name.lower() + ("_bias" if self.bias else "")
        if self.activation is Activation.CLAMP:
            epilogue += f"_{self.clamp_low.hex()}_{self.clamp_high.hex()}"
        return f"spmm_f32_gs{self.group}x1_chw_{tile}_{epilogue}"

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel. Work units are tiles of pixels; all strips pass over one tile while it is in the cache."""
        wide, strips = k.arg(Argument.WIDE_TILES), k.arg(Argument.STRIPS)

        def all_strips(tile: Any, vectors: int) -> None:
            with k.loop(0, strips) as strip:
                self._strip(k, tile, wide, strip, vectors)

        self._tiles(k, k.begin, k.end, wide, all_strips)

    def _tiles(self, k: KernelBuilder, first: Any, last: Any, wide: Any, body: Any) -> None:
        with k.loop(first, k.minimum(last, wide)) as tile:
            body(tile, self.vectors)
        if self.mixed:
            with k.loop(k.maximum(first, wide), last) as tile:
                body(tile, self.vectors - 1)

    def _strip(self, k: KernelBuilder, tile: Any, wide: Any, strip: Any, vectors: int) -> None:
        b, lanes = k.b, k.target.lanes
        # Narrow tiles start where the wide ones end, each one vector narrower.
        width = k.integer(vectors * lanes)
        pixel = b.mul(tile, width)
        if vectors != self.vectors:
            pixel = b.add(pixel, b.mul(wide, k.integer(lanes)))
        starts = k.pointer(Argument.STARTS, k.i64)
        start = k.load_int(starts, strip)
        count = b.sub(k.load_int(starts, b.add(strip, k.integer(1))), start)
        x = k.at(k.pointer(Argument.X), pixel)
        y = k.at(k.pointer(Argument.Y), pixel)
        offsets = k.at(k.pointer(Argument.OFFSETS, k.i32), start)
        values = k.at(k.pointer(Argument.VALUES), b.mul(start, k.integer(self.group)))
        for first_row in range(0, self.group, self.rows):
            row = b.add(b.mul(strip, k.integer(self.group)), k.integer(first_row))
            self._tile(k, x, y, offsets, k.at(values, first_row), count, row, vectors)

    def _tile(
        self, k: KernelBuilder, x: Any, y: Any, offsets: Any, values: Any, count: Any, row: Any, vectors: int
    ) -> None:
        b, lanes = k.b, k.target.lanes
        tile = [(r, v) for r in range(self.rows) for v in range(vectors)]
        initial = []
        for r in range(self.rows):
            bias = k.splat(0.0, lanes)
            if self.bias:
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
        stride = k.arg(Argument.ROW_STRIDE)
        for i, (r, v) in enumerate(tile):
            value = activate(k, self.activation, sums[i], lanes, self.clamp_low, self.clamp_high)
            k.store(value, k.at(y, b.mul(b.add(row, k.integer(r)), stride), v * lanes), lanes)

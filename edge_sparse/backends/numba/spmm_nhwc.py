"""``spmm_f32_gsGx1_nhwc``: pixels x group-sparse matrix, output rows in the vector lanes, one pixel broadcast.

The register tile is ``size`` pixels x ``vectors`` vectors of rows. A kept column costs ``vectors`` loads of weights
and ``size`` broadcasts of pixels. The distance of pixels in x is part of the code, so that one register addresses all
pixels of a tile. Linear layers are the same kernel with few pixels; there several partial sums hide the latency of
multiply-add.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.half_precision import load_halves
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.spmm_kernel import Argument, SpmmKernel
from edge_sparse.backends.numba.target import Target

__all__ = ["SpmmNhwc", "choose_tile"]

#: Multiply-adds that must be under way to hide their latency: 4 cycles x 2 units.
IN_FLIGHT = 8


def choose_tile(target: Target, group: int) -> tuple[int, int, int]:
    """Return (lanes, vectors of rows, pixels) of the largest register tile whose rows divide the group."""
    lanes = min(target.lanes, group)
    most = 4 if target.registers >= 32 and target.lanes == 4 else 2
    vectors = min(most, group // lanes)
    sums = 28 if target.registers >= 32 else 12
    return lanes, vectors, min(14, sums // vectors)


@dataclass(frozen=True)
class SpmmNhwc(SpmmKernel):
    """Emitter of one kernel.

    Attributes
    ----------
    lanes, vectors : int
        Of the register tile's rows.
    x_pixel : int
        Distance of neighbouring pixels in x, in elements.
    half : bool
        Whether the weights are float16, as they are in the file.
    dense : bool
        Whether all strips keep the same columns, whose offsets are there once.
    """

    lanes: int
    vectors: int
    x_pixel: int
    half: bool = False
    dense: bool = False

    @property
    def name(self) -> str:
        """Name of the kernel; it tells everything that the code depends on."""
        tile = f"p{self.size}r{self.vectors}l{self.lanes}" + ("m" if self.mixed else "")
        kind = ("f16" if self.half else "f32") + ("_dense" if self.dense else "")
        return f"spmm_{kind}_gs{self.group}x1_nhwc_{tile}_x{self.x_pixel}_{self.epilogue.name}"

    def strip(self, k: KernelBuilder, strip: Any) -> tuple[Any, Any, Any, Any]:
        """Return a strip's first row, kept columns, offsets and values."""
        first, count, offsets, values = super().strip(k, strip)
        start = k.load_int(k.pointer(Argument.STARTS, k.i64), strip)
        if self.half:
            values = k.at(k.pointer(Argument.VALUES, k.f16), k.b.mul(start, k.integer(self.group)))
        return first, count, k.pointer(Argument.OFFSETS, k.i32) if self.dense else offsets, values

    def block(self, k: KernelBuilder, tiles: tuple[Any, Any], strips: tuple[Any, Any]) -> None:
        """Loop over strips outermost, whose weights stay in the first-level cache while a block of pixels passes."""
        with k.loop(*strips) as strip:
            first, count, offsets, values = self.strip(k, strip)
            with k.loop(0, self.group, self.vectors * self.lanes) as inside:
                row = k.b.add(first, inside)
                weights = k.at(values, inside)

                def one_tile(tile: Any, pixels: int, row: Any = row, weights: Any = weights) -> None:
                    self._tile(k, tile, offsets, weights, count, row, pixels)

                self.over_tiles(k, tiles, one_tile)

    def _tile(self, k: KernelBuilder, tile: Any, offsets: Any, values: Any, count: Any, row: Any, pixels: int) -> None:
        b = k.b
        x = k.at(k.pointer(Argument.X), self.record(k, tile, 0))
        sums = self._sums(k, x, offsets, values, count, row, pixels)
        y = k.at(k.pointer(Argument.Y), self.record(k, tile, 1), row)
        residual = k.at(k.pointer(Argument.RESIDUAL), self.record(k, tile, 2), row)
        for p in range(pixels):
            line = k.at(y, b.mul(k.arg(Argument.Y_STRIDE), k.integer(p)))
            other = k.at(residual, b.mul(k.arg(Argument.RESIDUAL_STRIDE), k.integer(p)))
            for v in range(self.vectors):
                value = sums[p * self.vectors + v]
                if self.epilogue.residual:
                    value = b.fadd(value, k.load(k.at(other, v * self.lanes), self.lanes))
                value = self.epilogue.apply(k, value, self.lanes)
                k.store(value, k.at(line, v * self.lanes), self.lanes)

        def zero(offset: Any, length: Any) -> None:
            with k.loop(0, length) as pixel:
                line = k.at(k.pointer(Argument.Y), offset, b.mul(pixel, k.arg(Argument.Y_STRIDE)), row)
                for v in range(self.vectors):
                    k.store(k.splat(0.0, self.lanes), k.at(line, v * self.lanes), self.lanes)

        self.over_zeros(k, tile, zero)

    def _sums(
        self, k: KernelBuilder, x: Any, offsets: Any, values: Any, count: Any, row: Any, pixels: int
    ) -> list[Any]:
        b, tile = k.b, pixels * self.vectors
        partial = max(1, IN_FLIGHT // tile)
        zero = k.splat(0.0, self.lanes)
        bias = [zero] * self.vectors
        if self.epilogue.bias:
            address = k.at(k.pointer(Argument.BIAS), row)
            bias = [k.load(k.at(address, v * self.lanes), self.lanes) for v in range(self.vectors)]
        sums = [bias[v] for _ in range(pixels) for v in range(self.vectors)] + [zero] * (tile * (partial - 1))
        done: Any = k.integer(0)
        if partial > 1:
            done = b.sub(count, b.srem(count, k.integer(partial)))
            with k.reduce(0, done, sums, partial) as (kept, carried, following):
                for part in range(partial):
                    here = slice(part * tile, (part + 1) * tile)
                    column = b.add(kept, k.integer(part))
                    following[here] = self._column(k, x, offsets, values, column, carried[here], pixels)
            sums = carried
        with k.reduce(done, count, sums[:tile]) as (kept, carried, following):
            following[:] = self._column(k, x, offsets, values, kept, carried, pixels)
        for part in range(1, partial):
            carried = [b.fadd(a, c) for a, c in zip(carried, sums[part * tile : (part + 1) * tile], strict=True)]
        return list(carried)

    def _column(
        self, k: KernelBuilder, x: Any, offsets: Any, values: Any, kept: Any, sums: list[Any], pixels: int
    ) -> list[Any]:
        column = k.at(x, k.load_int(offsets, kept))
        weights = k.at(values, k.b.mul(kept, k.integer(self.group)))
        load = (lambda place, lanes: load_halves(k, place, lanes)) if self.half else k.load
        vectors = [load(k.at(weights, v * self.lanes), self.lanes) for v in range(self.vectors)]
        result = []
        for p in range(pixels):
            pixel = k.splat(k.load(k.at(column, p * self.x_pixel)), self.lanes)
            for v in range(self.vectors):
                result.append(k.multiply_add(pixel, vectors[v], sums[p * self.vectors + v]))
        return result

"""What the group-sparse product kernels of both layouts share: arguments, loops over work units, the epilogue."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.activation import activate
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.plan import Activation

__all__ = ["Argument", "Epilogue", "SpmmKernel"]


class Argument(enum.IntEnum):
    """Positions in the kernel's argument table.

    ``Y_STRIDE`` and ``RESIDUAL_STRIDE`` are the distance of rows (planes) in CHW and of pixels in NHWC. A work unit is
    a block of tiles (``BLOCKS`` holds their bounds) for a chunk of strips (``CHUNKS`` holds theirs); all chunks of a
    block are neighbours.
    """

    X = 0
    Y = 1
    RESIDUAL = 2
    VALUES = 3
    OFFSETS = 4
    STARTS = 5
    BIAS = 6
    Y_STRIDE = 7
    RESIDUAL_STRIDE = 8
    TILES = 9
    WIDE_TILES = 10
    ZEROS = 11
    BLOCKS = 12
    CHUNKS = 13
    CHUNK_COUNT = 14


@dataclass(frozen=True)
class Epilogue:
    """What happens to the sums before they are stored: bias, residual, activation; and the zeros around them."""

    bias: bool = False
    residual: bool = False
    border: bool = False
    activation: Activation = Activation.NONE
    clamp_low: float = 0.0
    clamp_high: float = 0.0

    @property
    def name(self) -> str:
        """Part of the kernel's name; it tells everything that the code depends on."""
        flags = [flag for flag in ("bias", "residual", "border") if getattr(self, flag)]
        name = "_".join([self.activation.name.lower(), *flags])
        if self.activation is Activation.CLAMP:
            name += f"_{self.clamp_low.hex()}_{self.clamp_high.hex()}"
        return name

    def apply(self, k: KernelBuilder, value: Any, lanes: int) -> Any:
        """Return the activation of a sum."""
        return activate(k, self.activation, value, lanes, self.clamp_low, self.clamp_high)


@dataclass(frozen=True)
class SpmmKernel:
    """Base of the emitters: ``size`` is that of a wide tile, ``mixed`` says whether narrower ones follow."""

    group: int
    size: int
    mixed: bool
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """Name of the kernel; it tells everything that the code depends on."""
        raise NotImplementedError

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel."""
        b = k.b
        chunks = k.arg(Argument.CHUNK_COUNT)
        with k.loop(k.begin, k.end) as unit:
            block, chunk = b.sdiv(unit, chunks), b.srem(unit, chunks)
            blocks, bounds = k.pointer(Argument.BLOCKS, k.i64), k.pointer(Argument.CHUNKS, k.i64)
            tiles = (k.load_int(blocks, block), k.load_int(blocks, b.add(block, k.integer(1))))
            strips = (k.load_int(bounds, chunk), k.load_int(bounds, b.add(chunk, k.integer(1))))
            self.block(k, tiles, strips)

    def block(self, k: KernelBuilder, tiles: tuple[Any, Any], strips: tuple[Any, Any]) -> None:
        """Write the loops over tiles and strips."""
        raise NotImplementedError

    def over_tiles(self, k: KernelBuilder, tiles: tuple[Any, Any], body: Any) -> None:
        """Call ``body(tile, size)`` for every tile of a block, wide ones first."""
        wide = k.arg(Argument.WIDE_TILES)
        with k.loop(tiles[0], k.minimum(tiles[1], wide)) as tile:
            body(tile, self.size)
        if self.mixed:
            with k.loop(k.maximum(tiles[0], wide), tiles[1]) as tile:
                body(tile, self.size - 1)

    def record(self, k: KernelBuilder, tile: Any, field: int) -> Any:
        """Load a field of a tile's record."""
        return k.load_int(k.pointer(Argument.TILES, k.i64), k.b.add(k.b.mul(tile, k.integer(4)), k.integer(field)))

    def over_zeros(self, k: KernelBuilder, tile: Any, body: Any) -> None:
        """Call ``body(offset, pixels)`` for every range that the tile sets to zero."""
        if not self.epilogue.border:
            return
        zeros = k.pointer(Argument.ZEROS, k.i64)
        with k.loop(self.record(k, tile, 3), self.record(k, k.b.add(tile, k.integer(1)), 3)) as entry:
            first = k.b.mul(entry, k.integer(2))
            body(k.load_int(zeros, first), k.load_int(zeros, k.b.add(first, k.integer(1))))

    def strip(self, k: KernelBuilder, strip: Any) -> tuple[Any, Any, Any, Any]:
        """Return a strip's first row, kept columns, offsets and values."""
        b = k.b
        starts = k.pointer(Argument.STARTS, k.i64)
        start = k.load_int(starts, strip)
        count = b.sub(k.load_int(starts, b.add(strip, k.integer(1))), start)
        offsets = k.at(k.pointer(Argument.OFFSETS, k.i32), start)
        values = k.at(k.pointer(Argument.VALUES), b.mul(start, k.integer(self.group)))
        return b.mul(strip, k.integer(self.group)), count, offsets, values

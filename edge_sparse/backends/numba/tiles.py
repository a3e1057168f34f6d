"""How the pixels of an image are cut into register tiles, and which zeros each tile writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_sparse.plan import Tensor

__all__ = ["Run", "Tiles", "cut", "outside_pixels"]


@dataclass(frozen=True)
class Run:
    """Consecutive output pixels of one image.

    ``pixel`` is the first one's flat index in image ``image``; ``x``, ``y`` and ``residual`` are the offsets, in
    elements, of the first pixel from each tensor's element zero. ``length`` counts pixels or vectors of pixels.
    """

    image: int
    pixel: int
    length: int
    x: int
    y: int
    residual: int = 0


@dataclass(frozen=True)
class Tiles:
    """Tiles of all runs: ``wide`` tiles of ``size`` come first, then tiles of ``size - 1``.

    ``records`` holds (x, y, residual, first zero range) per tile and one more that ends the last tile's zero ranges.
    ``zeros`` holds (offset in y, pixels) of what a tile sets to zero after its stores: the gaps between its rows and,
    for the first and last tile of an image, the border above and below.
    """

    records: npt.NDArray[np.int64]
    zeros: npt.NDArray[np.int64]
    wide: int
    size: int

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.records) - 1

    @property
    def mixed(self) -> bool:
        """Whether there are tiles one smaller than ``size``."""
        return self.wide < self.count


def outside_pixels(tensor: Tensor) -> list[tuple[int, int]]:
    """Return the flat pixel ranges (first, end) around and between the rows of an image that its border needs zero."""
    border = tensor.border
    if not border:
        return []
    height, width = tensor.shape[2:]
    row = tensor.strides[2] // tensor.strides[3]
    edges = [(-(border.top * row + border.left), 0)]
    edges += [(y * row + width, (y + 1) * row) for y in range(height - 1)]
    edges.append(((height - 1) * row + width, (height - 1 + border.bottom) * row + width + border.right))
    return [(first, end) for first, end in edges if first < end]


def cut(runs: Sequence[Run], limit: int, unit: int, x_step: int, step: tuple[int, int], outside: Tensor) -> Tiles:
    """Cut runs into tiles of at most ``limit``; those of one run differ by at most one.

    Parameters
    ----------
    runs : sequence of Run
        All of the same length.
    limit : int
        Largest tile.
    unit : int
        Pixels that count as one in ``length`` and ``limit`` (lanes in CHW, 1 in NHWC).
    x_step, step : int, (int, int)
        Elements between neighbouring pixels of x, and of y and the residual.
    outside : Tensor
        y; its border says which zeros to write.
    """
    length = runs[0].length
    count = -(-length // limit)
    narrow, wide = divmod(length, count)
    size, wide = (narrow + 1, wide) if wide else (narrow, count)
    parts = [(i * size, True) for i in range(wide)]
    parts += [(wide * size + i * (size - 1), False) for i in range(count - wide)]
    tiles = []
    for run in runs:
        for first, is_wide in parts:
            pixels = first * unit
            place = (run.x + pixels * x_step, run.y + pixels * step[0], run.residual + pixels * step[1])
            tiles.append((not is_wide, run.image, run.pixel + pixels, place))
    tiles.sort(key=lambda tile: tile[0])
    records = np.zeros((len(tiles) + 1, 4), np.int64)
    records[:-1, :3] = [tile[3] for tile in tiles]
    zeros = _zero_ranges(tiles, outside, step[0]) if outside.border else [[] for _ in tiles]
    records[1:, 3] = np.cumsum([len(ranges) for ranges in zeros])
    flat = np.array([pair for ranges in zeros for pair in ranges], np.int64).reshape(-1, 2)
    return Tiles(records, flat, wide * len(runs), size)


def _zero_ranges(
    tiles: Sequence[tuple[bool, int, int, tuple[int, int, int]]], y: Tensor, step: int
) -> list[list[tuple[int, int]]]:
    """Give every range of outside pixels to the tiles in whose span it lies; spans reach to the next tile."""
    result: list[list[tuple[int, int]]] = [[] for _ in tiles]
    ranges = outside_pixels(y)
    order = sorted(range(len(tiles)), key=lambda number: tiles[number][1:3])
    for image in range(y.shape[0]):
        numbers = [number for number in order if tiles[number][1] == image]
        ends = [tiles[number][2] for number in numbers[1:]] + [2**62]
        at = 0
        for first, end in ranges:
            while first < end:
                while ends[at] <= first:
                    at += 1
                stop = min(end, ends[at])
                result[numbers[at]].append((image * y.strides[0] + first * step, stop - first))
                first = stop
    return result

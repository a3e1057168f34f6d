"""Which bytes of its storage a tensor may touch, and whether two tensors can touch the same ones."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sparse.plan import VECTOR_SLACK, Layout, Tensor

__all__ = ["Footprint", "Frame", "footprint", "frame_of"]


@dataclass(frozen=True)
class Frame:
    """An image plane in pixels, counted from pixel (0, 0): border, real pixels with the gaps between rows, slack.

    ``row`` is the distance of rows; ``pixels`` counts from the first to the last real pixel, gaps included; the
    border begins ``before`` pixels before pixel 0 and ends ``after`` pixels past the last one.
    """

    row: int
    pixels: int
    before: int
    after: int

    @property
    def owned(self) -> int:
        """Pixels after pixel 0 that the plane of a CHW tensor owns, so that a last vector may overrun."""
        return max(-(-self.pixels // VECTOR_SLACK) * VECTOR_SLACK, self.pixels + self.after)


def frame_of(tensor: Tensor) -> Frame:
    """Return the frame of an image tensor."""
    height, width = tensor.shape[2:]
    row = tensor.strides[2] // tensor.strides[3]
    border = tensor.border
    pixels = (height - 1) * row + width
    return Frame(row, pixels, border.top * row + border.left, border.bottom * row + border.right)


@dataclass(frozen=True)
class Footprint:
    """Runs of ``length`` bytes; the first begins at byte ``first``; ``axes`` are (distance, count), outermost first."""

    first: int
    axes: tuple[tuple[int, int], ...]
    length: int

    @property
    def end(self) -> int:
        """One past the last byte."""
        return self.first + self.length + sum(distance * (count - 1) for distance, count in self.axes)

    def apart(self, other: Footprint) -> bool:
        """Whether both are known to share no byte.

        They share none if one ends before the other begins, or if they are slices of one larger tensor: the outermost
        distance is the same, what is inside fits once into that distance, and the insides are apart.
        """
        if self.end <= other.first or other.end <= self.first:
            return True
        if not self.axes or not other.axes or self.axes[0][0] != other.axes[0][0]:
            return False
        mine, theirs = self._inside, other._inside
        reach = max(mine.end, theirs.end) - min(mine.first, theirs.first)
        return reach <= self.axes[0][0] and mine.apart(theirs)

    @property
    def _inside(self) -> Footprint:
        return Footprint(self.first, self.axes[1:], self.length)


def footprint(tensor: Tensor) -> Footprint:
    """Return the bytes that a step which writes the tensor may change, relative to its storage."""
    size = tensor.dtype.numpy.itemsize
    if tensor.layout is Layout.ROW_MAJOR:
        return _row_major(tensor, size)
    frame = frame_of(tensor)
    batch, channels = tensor.shape[:2]
    images = (tensor.strides[0] * size, batch)
    if tensor.layout is Layout.CHW:
        planes = (tensor.strides[1] * size, channels)
        return Footprint(tensor.offset - frame.before * size, (images, planes), (frame.before + frame.owned) * size)
    pixel = tensor.strides[3] * size
    pixels = (pixel, frame.before + frame.pixels + frame.after)
    return Footprint(tensor.offset - frame.before * pixel, (images, pixels), channels * size)


def _row_major(tensor: Tensor, size: int) -> Footprint:
    axes = [(s * size, n) for s, n in zip(tensor.strides, tensor.shape, strict=True) if n > 1]
    axes.sort(reverse=True)
    length = size
    while axes and axes[-1][0] == length:
        length *= axes.pop()[1]
    return Footprint(tensor.offset, tuple(axes), length)

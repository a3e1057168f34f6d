"""What a plan's steps have written to the arena so far, and whether a tensor is there to be read."""

from __future__ import annotations

from edge_sparse.format.footprint import Footprint, footprint
from edge_sparse.plan import Layout, Tensor

__all__ = ["Written"]


class Written:
    """The results of earlier steps, in order."""

    def __init__(self) -> None:
        self._results: list[tuple[Tensor, Footprint]] = []

    def add(self, tensor: Tensor) -> None:
        """Record that a step wrote a tensor."""
        self._results.append((tensor, footprint(tensor)))

    def problem(self, tensor: Tensor) -> str:
        """Return the code of the rule that reading the tensor breaks, or nothing.

        Results are looked at from the latest back. One that touches the tensor's footprint must lie in the same
        larger tensor, and so be a part of it; the search stops when the parts cover the tensor.
        """
        wanted = footprint(tensor)
        first, end = _part(tensor, tensor)
        parts: list[tuple[int, int]] = []
        for result, touched in reversed(self._results):
            if touched.apart(wanted):
                continue
            if not _together(result, tensor):
                return "STEP_OVERWRITTEN"
            parts = _joined(parts, _part(result, tensor))
            if any(low <= first and end <= high for low, high in parts):
                return ""
        return "STEP_UNWRITTEN"


def _together(one: Tensor, other: Tensor) -> bool:
    """Whether two overlapping tensors can be slices of one: same images, rows and border, channels aligned."""
    if one.layout is not other.layout or one.dtype is not other.dtype:
        return False
    if one.layout is Layout.ROW_MAJOR:
        return True
    if (one.strides, one.border, one.shape[0], one.shape[2:]) != (
        other.strides,
        other.border,
        other.shape[0],
        other.shape[2:],
    ):
        return False
    distance = abs(one.offset - other.offset)
    if one.layout is Layout.NHWC:
        return distance < one.strides[3] * one.dtype.numpy.itemsize
    return distance % (one.strides[1] * one.dtype.numpy.itemsize) == 0


def _part(tensor: Tensor, whole: Tensor) -> tuple[int, int]:
    """Return which channels of an image a slice of it holds; the bytes from first to last element of other tensors."""
    size = tensor.dtype.numpy.itemsize
    if tensor.layout is Layout.ROW_MAJOR:
        reach = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
        return tensor.offset, tensor.offset + (reach + 1) * size
    first = (tensor.offset - whole.offset) // (tensor.strides[1] * size)
    return first, first + tensor.shape[1]


def _joined(intervals: list[tuple[int, int]], new: tuple[int, int]) -> list[tuple[int, int]]:
    """Return separate intervals with a new one, joined to those that it touches."""
    first, end = new
    apart = [interval for interval in intervals if interval[1] < first or end < interval[0]]
    touching = [interval for interval in intervals if interval not in apart]
    return [*apart, (min([first, *(i[0] for i in touching)]), max([end, *(i[1] for i in touching)]))]

"""What a plan's steps have written to the arena so far, and whether a tensor is there to be read.

A hostile plan can let every input touch every earlier result, so results are kept as columns of numbers and compared
with an input many at a time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_sparse.format.footprint import Footprint, footprint
from edge_sparse.plan import Layout, Tensor

__all__ = ["Written"]

Numbers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: Most axes of a footprint.
_AXES = 6
#: Columns per result: distances of the footprint's axes, its ends from all axes to none, and these.
_END, _FIRST, _KIND, _OFFSET, _LENGTH = _AXES, 2 * _AXES + 1, 2 * _AXES + 2, 2 * _AXES + 3, 2 * _AXES + 4
_COLUMNS = 2 * _AXES + 5
#: Results that are looked at first; then four times as many, and so on.
_BLOCK = 32


class Written:
    """The results of earlier steps, in order."""

    def __init__(self) -> None:
        self._count = 0
        self._table: Numbers = np.zeros((_COLUMNS, _BLOCK), np.int64)
        self._latest: list[int] = []
        self._kinds: dict[object, int] = {}

    def add(self, tensor: Tensor) -> None:
        """Record that a step wrote a tensor."""
        if self._count == self._table.shape[1]:
            self._table = np.concatenate([self._table, np.zeros_like(self._table)], axis=1)
        self._latest = self._row(tensor, footprint(tensor))
        self._table[:, self._count] = self._latest
        self._count += 1

    def problem(self, tensor: Tensor) -> str:
        """Return the code of the rule that reading the tensor breaks, or nothing.

        Results are looked at from the latest back. One that touches the tensor's footprint must lie in the same
        larger tensor, and so be a part of it; the search stops when the parts cover the tensor.
        """
        touched = footprint(tensor)
        numbers = self._row(tensor, touched)
        if numbers == self._latest:
            return ""
        row = np.array(numbers, np.int64)
        end, size, parts = self._count, _BLOCK, np.zeros((2, 0), np.int64)
        while end:
            block = self._table[:, max(0, end - size) : end]
            block = block[:, ~_apart(block, row, len(touched.axes))][:, ::-1]
            strange = np.flatnonzero(~_together(block, row, tensor))
            block = block[:, : strange[0]] if strange.size else block
            parts = np.concatenate([parts, _parts(block, row, tensor)], axis=1)
            if _cover(parts, *_parts(row[:, None], row, tensor)[:, 0].tolist()):
                return ""
            if strange.size:
                return "STEP_OVERWRITTEN"
            end, size = max(0, end - size), 4 * size
        return "STEP_UNWRITTEN"

    def _row(self, tensor: Tensor, touched: Footprint) -> list[int]:
        """Return a result as numbers. Tensors of one kind can be slices of one: same images, rows and border."""
        kind: tuple[object, ...] = (tensor.layout, tensor.dtype)
        if tensor.layout is Layout.ROW_MAJOR:
            reach = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
            length = (reach + 1) * tensor.dtype.numpy.itemsize
        else:
            kind += (tensor.strides, tensor.border, tensor.shape[0], tensor.shape[2:])
            length = tensor.shape[1]
        axes = touched.axes
        spare = [0] * (_AXES - len(axes))
        ends = [touched.end]
        for distance, count in axes:
            ends.append(ends[-1] - distance * (count - 1))
        number = self._kinds.setdefault(kind, len(self._kinds))
        return [*(axis[0] for axis in axes), *spare, *ends, *spare, touched.first, number, tensor.offset, length]


def _apart(block: Numbers, row: Numbers, axes: int) -> Flags:
    """``Footprint.apart`` of many results and one tensor."""
    first = block[_FIRST]
    low = np.minimum(first, row[_FIRST])
    apart = np.zeros(block.shape[1], np.bool_)
    undecided = ~apart
    for axis in range(axes + 1):
        apart |= undecided & ((block[_END + axis] <= row[_FIRST]) | (row[_END + axis] <= first))
        if axis < axes:
            reach = np.maximum(block[_END + axis + 1], row[_END + axis + 1]) - low
            # An axis that a result does not have is at distance 0, which no axis is.
            undecided &= (block[axis] == row[axis]) & (reach <= row[axis])
    return apart


def _together(block: Numbers, row: Numbers, tensor: Tensor) -> Flags:
    """Whether overlapping tensors can be slices of one: of one kind, and their channels aligned."""
    same: Flags = block[_KIND] == row[_KIND]
    if tensor.layout is Layout.ROW_MAJOR:
        return same
    size = tensor.dtype.numpy.itemsize
    distance = np.abs(block[_OFFSET] - row[_OFFSET])
    if tensor.layout is Layout.NHWC:
        same &= distance < tensor.strides[3] * size
    else:
        same &= distance % (tensor.strides[1] * size) == 0
    return same


def _parts(block: Numbers, row: Numbers, tensor: Tensor) -> Numbers:
    """Return first and end of what slices hold: channels of an image, bytes of other tensors."""
    first = block[_OFFSET]
    if tensor.layout is not Layout.ROW_MAJOR:
        first = (first - row[_OFFSET]) // (tensor.strides[1] * tensor.dtype.numpy.itemsize)
    return np.stack([first, first + block[_LENGTH]])


def _cover(parts: Numbers, first: int, end: int) -> bool:
    """Whether the intervals, joined where they touch, hold everything from first to end."""
    order = np.argsort(parts[0], kind="stable")
    starts, reached = parts[0][order], np.maximum.accumulate(parts[1][order])
    begun = int(np.searchsorted(starts, first, "right"))
    if not begun:
        return False
    gaps = np.flatnonzero(starts[begun:] > reached[begun - 1 : -1])
    return bool(reached[begun + gaps[0] - 1 if gaps.size else -1] >= end)

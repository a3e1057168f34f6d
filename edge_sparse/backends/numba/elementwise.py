"""ADD, MUL and ACTIVATION: rows of elements in vectors, the second operand a row of its own or one value per row."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.launch import Launch, address_of
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.spmm_kernel import Epilogue
from edge_sparse.plan import Layout, Op, Tensor

__all__ = ["ElementwiseKernel", "elementwise_launch"]

#: Long rows are cut into pieces of this many elements, so that threads share them.
PIECE = 8192


class ElementwiseArgument(enum.IntEnum):
    """Positions in the argument table. ``ROWS`` holds (offset in a, in b, in y, length) per row."""

    A = 0
    B = 1
    Y = 2
    ROWS = 3


@dataclass(frozen=True)
class ElementwiseKernel:
    """Emitter of one kernel; ``scalar`` says that b has one value per row."""

    op: Op
    scalar: bool
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """Name of the kernel."""
        operand = "" if self.op is Op.ACTIVATION else ("_scalar" if self.scalar else "_vector")
        return f"{self.op.name.lower()}_f32{operand}_{self.epilogue.name}"

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel: vectors first, then single elements."""
        b, lanes = k.b, k.target.lanes
        with k.loop(k.begin, k.end) as row:
            rows = k.at(k.pointer(ElementwiseArgument.ROWS, k.i64), b.mul(row, k.integer(4)))
            places = [
                k.at(k.pointer(argument), k.load_int(rows, field))
                for field, argument in enumerate((ElementwiseArgument.A, ElementwiseArgument.B, ElementwiseArgument.Y))
            ]
            length = k.load_int(rows, 3)
            whole = b.sub(length, b.srem(length, k.integer(lanes)))
            with k.loop(0, whole, lanes) as first:
                self._elements(k, places, first, lanes)
            with k.loop(whole, length) as first:
                self._elements(k, places, first, 1)

    def _elements(self, k: KernelBuilder, places: Sequence[Any], first: Any, lanes: int) -> None:
        a, other, y = places
        value = k.load(k.at(a, first), lanes)
        if self.op is not Op.ACTIVATION:
            second = k.splat(k.load(other), lanes) if self.scalar else k.load(k.at(other, first), lanes)
            value = k.b.fadd(value, second) if self.op is Op.ADD else k.b.fmul(value, second)
        k.store(self.epilogue.apply(k, value, lanes), k.at(y, first), lanes)


def elementwise_launch(
    compiler: KernelCompiler, op: Op, a: Tensor, b: Tensor | None, y: Tensor, epilogue: Epilogue
) -> Launch:
    """Return the launch of ``y = act(a op b)``; b as the op table allows. In a plan with a symbol, units are tokens."""
    tensors = [a, y] if b is None or b.shape != a.shape else [a, b, y]
    rows = _rows(tensors, per_channel=b is not None and b.shape != a.shape and b.size > 1)
    scalar = b is not None and (b.size == 1 or (b.shape != a.shape and a.layout is not Layout.NHWC))
    offsets_b = np.zeros(len(rows.images), np.int64)
    if len(tensors) == 3:
        offsets_b = rows.offsets[1]
    elif b is not None and b.size > 1:
        step = b.strides[0] if len(b.shape) > 1 and b.shape[0] > 1 else 0
        channel = b.strides[1] if len(b.shape) > 1 else b.strides[0]
        offsets_b = rows.images * step + (rows.channels * channel if scalar else 0)
    table = _pieces(np.stack([rows.offsets[0], offsets_b, rows.offsets[-1]], axis=1), rows.length, scalar)
    kernel = ElementwiseKernel(op, scalar, epilogue)
    name = compiler.emit(kernel.name, kernel.emit)
    arguments = [address_of(a), 0 if b is None else address_of(b), address_of(y), table]
    if y.symbol_axis == 0:
        return Launch(name, arguments, len(table) // y.shape[0], unit_tokens=1)
    return Launch(name, arguments, len(table))


@dataclass(frozen=True)
class _Rows:
    """Offsets of equally long rows in several tensors, and the image and channel of each row."""

    offsets: Sequence[npt.NDArray[np.int64]]
    images: npt.NDArray[np.int64]
    channels: npt.NDArray[np.int64]
    length: int


def _rows(tensors: Sequence[Tensor], per_channel: bool) -> _Rows:
    """Cut tensors of one shape into the longest rows that are contiguous in all of them.

    With ``per_channel`` a row keeps to one channel (CHW, row-major) or to one pixel (NHWC).
    """
    y = tensors[-1]
    shape = y.shape
    if y.layout is Layout.ROW_MAJOR:
        keep = 2 if per_channel else int(y.symbol_axis == 0)
    else:
        shape = (*shape[:2], *shape[2:])
        keep = 0
    if y.layout is Layout.CHW:
        same = len({t.strides[2] for t in tensors}) == 1
        length = (shape[2] - 1) * y.strides[2] + shape[3] if same else shape[3]
        lines = 1 if same else shape[2]
        n, c, i = (axis.ravel() for axis in np.indices((shape[0], shape[1], lines)))
        return _Rows([n * t.strides[0] + c * t.strides[1] + i * t.strides[2] for t in tensors], n, c, length)
    if y.layout is Layout.NHWC:
        dense = all(t.strides[3] == shape[1] for t in tensors) and len({t.strides[2] for t in tensors}) == 1
        if dense and not per_channel:
            n = np.arange(shape[0])
            length = (shape[2] - 1) * y.strides[2] + shape[3] * shape[1]
            return _Rows([n * t.strides[0] for t in tensors], n, n * 0, length)
        n, i, j = (axis.ravel() for axis in np.indices((shape[0], shape[2], shape[3])))
        offsets = [n * t.strides[0] + i * t.strides[2] + j * t.strides[3] for t in tensors]
        return _Rows(offsets, n, n * 0, shape[1])
    return _row_major(tensors, keep)


def _row_major(tensors: Sequence[Tensor], keep: int) -> _Rows:
    """Fuse trailing axes while they are contiguous in all tensors, leaving at least ``keep`` leading axes."""
    shape = tensors[0].shape
    split, length = len(shape), 1
    while split > keep and all(t.strides[split - 1] == length or shape[split - 1] == 1 for t in tensors):
        split -= 1
        length *= shape[split]
    index = [axis.ravel() for axis in np.indices(shape[:split])] or [np.zeros(1, np.int64)]
    strides = [t.strides[:split] or (0,) for t in tensors]
    offsets = [sum((i * s for i, s in zip(index, own, strict=True)), np.int64(0)) for own in strides]
    return _Rows(
        [np.asarray(o, np.int64) for o in offsets], index[0], index[1] if len(index) > 1 else index[0] * 0, length
    )


def _pieces(offsets: npt.NDArray[np.int64], length: int, scalar: bool) -> npt.NDArray[np.int64]:
    """Cut rows into pieces of at most ``PIECE`` elements; returns (a, b, y, length) per piece."""
    starts = np.arange(0, length, PIECE)
    moves = np.array([1, 0 if scalar else 1, 1], np.int64)
    table = np.empty((len(offsets), len(starts), 4), np.int64)
    table[:, :, :3] = offsets[:, None, :] + starts[None, :, None] * moves
    table[:, :, 3] = np.minimum(PIECE, length - starts)
    return np.ascontiguousarray(table.reshape(-1, 4))

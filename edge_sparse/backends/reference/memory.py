"""Tensors of a plan as NumPy views of the memory that the plan laid out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import BackendError
from edge_sparse.plan import VECTOR_SLACK, Layout, Plan, Storage, Tensor

__all__ = ["Memory"]


@dataclass
class Memory:
    """Arena, state, inputs and outputs of one run; all float32 elements unless a tensor says otherwise.

    ``symbol`` is the length, in this run, of the axes that follow the plan's symbol.

    The arena starts as NaN, and what a vector kernel may trash (gaps between rows, the slack of a plane) becomes NaN
    whenever a tensor is written, so a plan that relies on it computes NaN.
    """

    plan: Plan
    state: npt.NDArray[np.uint8]
    inputs: dict[str, npt.NDArray[np.generic]]
    symbol: int = 0
    outputs: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.arena = np.full(-(-self.plan.arena_bytes // 4), np.nan, np.float32).view(np.uint8)

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        """Return the tensor's shape in this run."""
        axis = tensor.symbol_axis
        return tensor.shape if axis < 0 else (*tensor.shape[:axis], self.symbol, *tensor.shape[axis + 1 :])

    def flat(self, tensor: Tensor) -> npt.NDArray[np.generic]:
        """Return the storage of a tensor as a flat array of its dtype."""
        if tensor.storage is Storage.ARENA:
            return self.arena.view(tensor.dtype.numpy)
        if tensor.storage is Storage.STATE:
            return self.state.view(tensor.dtype.numpy)
        if tensor.storage is Storage.INPUT:
            return self.inputs[tensor.name].reshape(-1)
        if tensor.storage is Storage.OUTPUT:
            if tensor.name not in self.outputs:
                self.outputs[tensor.name] = np.zeros(math.prod(self.shape(tensor)), tensor.dtype.numpy)
            return self.outputs[tensor.name].reshape(-1)
        assert tensor.data is not None
        # A constant's strides describe its blob; data itself is already in logical order.
        return np.ascontiguousarray(tensor.data).reshape(-1)

    def window(self, tensor: Tensor, shape: tuple[int, ...], first: int, strides: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return a view whose element zero lies ``first`` elements after the tensor's; never outside its storage."""
        flat = self.flat(tensor)
        start = tensor.offset // tensor.dtype.numpy.itemsize + first
        reach = sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
        if start < 0 or start + reach >= flat.size:
            raise BackendError("PLAN_OUT_OF_BOUNDS", f"{tensor.name} is read outside its memory", "convert it again")
        size = flat.itemsize
        return np.lib.stride_tricks.as_strided(flat[start:], shape, [size * stride for stride in strides])

    def view(self, tensor: Tensor) -> npt.NDArray[Any]:
        """Return the tensor's real elements in logical order."""
        if tensor.storage is Storage.CONSTANT:
            assert tensor.data is not None
            return tensor.data.reshape(tensor.shape)
        return self.window(tensor, self.shape(tensor), 0, tensor.strides)

    def write(self, tensor: Tensor, value: npt.NDArray[np.generic]) -> None:
        """Store a value of the tensor's logical shape; rewrite its border."""
        if tensor.storage is Storage.ARENA and tensor.layout is not Layout.ROW_MAJOR:
            self._frame(tensor)
        self.view(tensor)[...] = value.reshape(self.shape(tensor))

    def _frame(self, tensor: Tensor) -> None:
        batch, channels, height, width = tensor.shape
        pixel = tensor.strides[3]
        row = tensor.strides[2] // pixel
        border = tensor.border
        pixels = (height - 1) * row + width
        owned = -(-pixels // VECTOR_SLACK) * VECTOR_SLACK if tensor.layout is Layout.CHW else pixels
        begin = -(border.top * row + border.left)
        end = max(owned, (height - 1 + border.bottom) * row + width + border.right)
        p = np.arange(begin, end)
        real = (p >= 0) & (p < height * row) & (p % row < width)
        framed = p < (height - 1 + border.bottom) * row + width + border.right
        flat = self.flat(tensor)
        origin = tensor.offset // 4
        for n in range(batch):
            for c in range(channels):
                plane = origin + n * tensor.strides[0] + c * tensor.strides[1]
                outside = plane + p * pixel
                flat[outside[~real & ~framed]] = np.nan
                flat[outside[~real & framed]] = 0 if border else np.nan

"""``Port``: an input or output of a session, and the check of the arrays that come in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import InputError
from edge_sparse.plan import Layout, Tensor

__all__ = ["Port"]


@dataclass(frozen=True)
class Port:
    """An input or output as the caller sees it.

    ``shape`` is the array's shape in memory order: ``layout`` is ``nchw``, ``nhwc`` or ``rows``. Along ``symbol_axis``
    (-1: none) an array may be shorter.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    layout: str
    symbol_axis: int = -1

    @staticmethod
    def of(tensor: Tensor) -> Port:
        """Return the port of an input or output tensor."""
        if len(tensor.shape) == 4 and tensor.layout is Layout.NHWC:
            n, c, h, w = tensor.shape
            return Port(tensor.name, (n, h, w, c), tensor.dtype.numpy, "nhwc")
        layout = "nchw" if len(tensor.shape) == 4 else "rows"
        return Port(tensor.name, tensor.shape, tensor.dtype.numpy, layout, tensor.symbol_axis)

    def check(self, array: object) -> npt.NDArray[Any]:
        """Return the array, contiguous, or raise ``InputError`` with what is wrong."""
        if not isinstance(array, np.ndarray):
            found = type(array).__name__
            raise InputError(
                "INPUT_TYPE", f"input {self.name} is a {found}, not a NumPy array", "pass numpy.asarray(x, 'float32')"
            )
        if array.dtype != self.dtype:
            raise InputError(
                "INPUT_DTYPE", f"input {self.name} is {array.dtype}, not {self.dtype}", f"pass x.astype('{self.dtype}')"
            )
        if array.ndim != len(self.shape):
            raise InputError(
                "INPUT_RANK", f"input {self.name} has {array.ndim} axes: {array.shape}, not {self.shape}", self._hint()
            )
        fits = [
            length == wanted or (axis == self.symbol_axis and 0 < length < wanted)
            for axis, (length, wanted) in enumerate(zip(array.shape, self.shape, strict=True))
        ]
        if not all(fits):
            if not fits[0] and all(fits[1:]) and self.layout != "rows":
                raise InputError(
                    "INPUT_BATCH",
                    f"input {self.name} holds {array.shape[0]} images, the model was converted for {self.shape[0]}",
                    f"run {self.shape[0]} at a time, or convert with --batch {array.shape[0]}",
                )
            raise InputError(
                "INPUT_SHAPE", f"input {self.name} has shape {array.shape}, not {self.shape}", self._hint()
            )
        if not array.flags.c_contiguous:
            raise InputError(
                "INPUT_NOT_CONTIGUOUS",
                f"input {self.name} is not C-contiguous (strides {array.strides})",
                "pass numpy.ascontiguousarray(x)",
            )
        return array if array.flags.aligned else array.copy()

    def _hint(self) -> str:
        return f"pass an array of shape {self.shape} ({self.layout})"

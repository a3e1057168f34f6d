"""Depthwise convolution by itself, outside a plan."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.dwconv import dwconv_launch
from edge_sparse.backends.numba.launch import Address, bind
from edge_sparse.backends.numba.product import aligned_zeros, padded_pixels
from edge_sparse.backends.numba.spmm_kernel import Epilogue
from edge_sparse.errors import InputError
from edge_sparse.plan import Activation, DType, Layout, Storage, Tensor

__all__ = ["DepthwiseConvolution"]

_SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class DepthwiseConvolution:
    """``y[c] = activation(weights[c] * x[c] + bias[c])`` for x of shape (channels, height, width), in CHW.

    Parameters
    ----------
    weights : ndarray of float32, shape (channels, kernel_h, kernel_w)
    height, width : int
        Of x.
    stride, dilation : int
        Along both axes.
    padding : tuple of int
        Zeros on top, left, bottom and right.
    bias : ndarray of float32, shape (channels,), optional
    activation : Activation
        ``CLAMP`` is not offered here.
    """

    def __init__(
        self,
        weights: npt.NDArray[np.float32],
        height: int,
        width: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        bias: npt.NDArray[np.float32] | None = None,
        activation: Activation = Activation.NONE,
        compiler: KernelCompiler | None = None,
    ) -> None:
        if weights.ndim != 3 or weights.dtype != np.float32:
            raise InputError("INPUT_SHAPE", "weights are not float32 of three axes", "pass (channels, kh, kw)")
        if stride < 1 or dilation < 1 or min(padding) < 0:
            raise InputError("INPUT_WINDOW", f"stride {stride}, dilation {dilation}", "use positive numbers")
        self.channels, kernel_h, kernel_w = weights.shape
        top, left, bottom, right = padding
        if bias is not None and (bias.shape != (self.channels,) or bias.dtype != np.float32):
            raise InputError("INPUT_SHAPE", f"bias is not float32 of shape ({self.channels},)", "convert it")
        out_height = (height + top + bottom - (kernel_h - 1) * dilation - 1) // stride + 1
        out_width = (width + left + right - (kernel_w - 1) * dilation - 1) // stride + 1
        if height < 1 or width < 1 or out_height < 1 or out_width < 1:
            raise InputError("INPUT_WINDOW", "the kernel is larger than the padded image", "pad more")
        self.input_shape = (self.channels, height, width)
        self.output_shape = (self.channels, out_height, out_width)
        self._padding = padding
        self._x_row = width + left + right
        self._x_plane = padded_pixels((height + top + bottom) * self._x_row)
        self._y_plane = padded_pixels(out_height * out_width)
        self._compiler = compiler or KernelCompiler()
        x = self._tensor("x", Storage.INPUT, self.input_shape, self._x_plane, self._x_row)
        y = self._tensor("y", Storage.OUTPUT, self.output_shape, self._y_plane, out_width)
        attributes = {
            **{"kernel_h": kernel_h, "kernel_w": kernel_w, "stride_h": stride, "stride_w": stride},
            **{"dilation_h": dilation, "dilation_w": dilation, "pad_top": 0, "pad_left": 0},
        }
        weights, bias = np.ascontiguousarray(weights), None if bias is None else bias.copy()
        self._launch = dwconv_launch(self._compiler, x, y, weights, bias, attributes, Epilogue(activation=activation))
        self.kernel = self._launch.kernel
        self._compiler.load()
        self._function = _SIGNATURE(self._compiler.address(self.kernel))

    @staticmethod
    def _tensor(name: str, storage: Storage, shape: tuple[int, int, int], plane: int, row: int) -> Tensor:
        strides = (shape[0] * plane, plane, row, 1)
        return Tensor(name, DType.F32, (1, *shape), Layout.CHW, storage, strides=strides)

    def allocate_input(self) -> npt.NDArray[np.float32]:
        """Return zeros for the padded input, shape (channels, elements per plane), with room for wide reads."""
        room = aligned_zeros((self.channels * self._x_plane + 64,))
        return room[: self.channels * self._x_plane].reshape(self.channels, self._x_plane)

    def pixels(self, memory: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the view of an allocated input that holds the image itself."""
        top, left, bottom, _ = self._padding
        _, height, width = self.input_shape
        rows = height + top + bottom
        padded = memory[:, : rows * self._x_row].reshape(self.channels, rows, self._x_row)
        return padded[:, top : top + height, left : left + width]

    def allocate_output(self) -> npt.NDArray[np.float32]:
        """Return zeros for the output, shape (channels, elements per plane); pixels come first in each plane."""
        return aligned_zeros((self.channels, self._y_plane))

    def run(self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> None:
        """Compute into ``y``; both arrays come from ``allocate_input`` and ``allocate_output``."""
        addresses = {"x": x.ctypes.data, "y": y.ctypes.data}

        def resolve(address: Address) -> int:
            return addresses[address.name] + address.offset

        self._function(bind(self._launch, resolve).ctypes.data, 0, self.channels)

    def __call__(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the convolution of x, shape (channels, height, width)."""
        if x.shape != self.input_shape or x.dtype != np.float32:
            raise InputError(
                "INPUT_SHAPE", f"x is {x.dtype} of shape {x.shape}, not float32 {self.input_shape}", "convert it"
            )
        memory, result = self.allocate_input(), self.allocate_output()
        self.pixels(memory)[:] = x
        self.run(memory, result)
        _, height, width = self.output_shape
        return np.ascontiguousarray(result[:, : height * width].reshape(self.output_shape))

"""A group-sparse matrix x dense matrix by itself, outside a plan."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.launch import Address, bind
from edge_sparse.backends.numba.spmm import spmm_launches
from edge_sparse.backends.numba.spmm_kernel import Epilogue
from edge_sparse.errors import InputError
from edge_sparse.plan import Activation, DType, Layout, SparseMatrix, Storage, Tensor

__all__ = ["GroupSparseProduct", "aligned_zeros", "padded_channels", "padded_pixels"]

#: Rows of x and y are padded to this many elements: one vector of the widest instruction set.
ROW_ALIGNMENT = 16
#: Weights beyond this pass through the cache once, strips outermost.
STREAMED_BYTES = 256 << 10
_SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_POINTWISE = {
    **dict.fromkeys(("kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1),
    **dict.fromkeys(("pad_top", "pad_left", "phase_split"), 0),
}


def padded_pixels(pixels: int) -> int:
    """Return the row stride for this many pixels: whole vectors, and never a multiple of 4096 bytes.

    Rows that lie a multiple of 4096 bytes apart compete for the same few cache lines.
    """
    stride = -(-pixels // ROW_ALIGNMENT) * ROW_ALIGNMENT
    return stride + ROW_ALIGNMENT if stride % 1024 == 0 else stride


def aligned_zeros(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return float32 zeros whose first element lies on a 64-byte boundary."""
    count = int(np.prod(shape))
    memory = np.zeros(count + 16, np.float32)
    skip = -(memory.ctypes.data // 4) % 16
    return memory[skip : skip + count].reshape(shape)


def padded_channels(channels: int) -> int:
    """Return the pixel distance for this many channels: pixels a multiple of 2048 bytes apart collide in the cache."""
    return channels + ROW_ALIGNMENT if channels % 512 == 0 else channels


class GroupSparseProduct:
    """``y = activation(matrix @ x + bias)`` for x of shape (columns, pixels), compiled once and called often.

    Parameters
    ----------
    matrix : SparseMatrix
        With ``F32`` or ``F16`` values (the latter are widened when the product is made).
    pixels : int
        Columns of x.
    bias : ndarray of float32, shape (rows,), optional
    activation : Activation
        Applied to the sums; ``CLAMP`` is not offered here.
    layout : Layout
        ``CHW``: x is (columns, pixels), y is (rows, pixels), pixels in the vector lanes. ``NHWC``: x is (pixels,
        columns), y is (pixels, rows), rows in the lanes.
    compiler : KernelCompiler, optional
        Another target or cache than this machine's.

    Notes
    -----
    Every element of y is written by one call of one kernel, so the result does not depend on how the work is split.
    """

    def __init__(
        self,
        matrix: SparseMatrix,
        pixels: int,
        bias: npt.NDArray[np.float32] | None = None,
        activation: Activation = Activation.NONE,
        layout: Layout = Layout.CHW,
        compiler: KernelCompiler | None = None,
    ) -> None:
        if pixels < 1:
            raise InputError("INPUT_SHAPE", f"{pixels} pixels: at least one is needed", "pass a non-empty x")
        if bias is not None and (bias.shape != (matrix.rows,) or bias.dtype != np.float32):
            raise InputError("INPUT_SHAPE", f"bias is not float32 of shape ({matrix.rows},)", "convert it")
        self.matrix, self.pixels, self.layout = matrix, pixels, layout
        self.stride = padded_pixels(pixels)
        self._compiler = compiler or KernelCompiler()
        bias = None if bias is None else bias.copy()
        x, y = (self._tensor(name, storage) for name, storage in (("x", Storage.INPUT), ("y", Storage.OUTPUT)))
        epilogue = Epilogue(activation=activation)
        attributes = _POINTWISE | {"strips_outermost": int(matrix.kept_weights * 4 > STREAMED_BYTES), "quantise_x": 0}
        self._launches = spmm_launches(self._compiler, matrix, x, y, attributes, epilogue, bias)
        self._compiler.load()
        self._functions = [_SIGNATURE(self._compiler.address(launch.kernel)) for launch in self._launches]

    def _tensor(self, name: str, storage: Storage) -> Tensor:
        channels = self.matrix.columns if name == "x" else self.matrix.rows
        if self.layout is Layout.CHW:
            strides = (channels * self.stride, self.stride, self.pixels, 1)
        else:
            pixel = padded_channels(channels)
            strides = (pixel * self.pixels, 1, pixel * self.pixels, pixel)
        shape = (1, channels, 1, self.pixels)
        return Tensor(name, DType.F32, shape, self.layout, storage, strides=strides)

    def array_shape(self, name: str) -> tuple[int, int]:
        """Return the shape of the arrays that ``run`` takes as ``x`` and ``y``."""
        channels = self.matrix.columns if name == "x" else self.matrix.rows
        return (channels, self.stride) if self.layout is Layout.CHW else (self.pixels, padded_channels(channels))

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of the kernels that run, one per band."""
        return tuple(launch.kernel for launch in self._launches)

    def run(self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], part: int = 0, parts: int = 1) -> None:
        """Compute part ``part`` of ``parts`` into y without allocating; threads may run different parts at once.

        The global interpreter lock is released while the kernel runs.

        In CHW x is float32 of shape (columns, stride) and y of shape (rows, stride), both C-contiguous, with
        ``stride = padded_pixels(pixels)``; elements of y beyond ``pixels`` are left undefined. In NHWC x is of shape
        (pixels, padded_channels(columns)) and y of shape (pixels, padded_channels(rows)).
        """
        for name, array in (("x", x), ("y", y)):
            shape = self.array_shape(name)
            if array.shape != shape or array.dtype != np.float32 or not array.flags.c_contiguous:
                raise InputError(
                    "INPUT_SHAPE",
                    f"{name} is {array.dtype} of shape {array.shape}, not contiguous float32 {shape}",
                    "allocate it with aligned_zeros(product.array_shape(name))",
                )
        if not 0 <= part < parts:
            raise InputError("INPUT_PART", f"part {part} of {parts} does not exist", "count parts from 0")
        addresses = {"x": x.ctypes.data, "y": y.ctypes.data}

        def resolve(address: Address) -> int:
            return addresses[address.name] + address.offset

        for function, launch in zip(self._functions, self._launches, strict=True):
            table = bind(launch, resolve)
            function(table.ctypes.data, launch.units * part // parts, launch.units * (part + 1) // parts)

    def __call__(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the product for x of shape (columns, pixels); (pixels, columns) in NHWC."""
        chw = self.layout is Layout.CHW
        shape = (self.matrix.columns, self.pixels) if chw else (self.pixels, self.matrix.columns)
        if x.shape != shape or x.dtype != np.float32:
            raise InputError(
                "INPUT_SHAPE",
                f"x is {x.dtype} of shape {x.shape}, not float32 {shape}",
                "pass x.astype(numpy.float32) in that shape, or make a product for another number of pixels",
            )
        padded, result = (aligned_zeros(self.array_shape(name)) for name in ("x", "y"))
        padded[:, : x.shape[1]] = x
        self.run(padded, result)
        width = self.pixels if chw else self.matrix.rows
        return np.ascontiguousarray(result[:, :width])

"""Group-sparse matrix x dense matrix on this machine's vector units."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.spmm_chw import PREFETCH_DISTANCE, Argument, SpmmChw, choose_tile
from edge_sparse.errors import BackendError, InputError
from edge_sparse.plan import Activation, DType, SparseMatrix

__all__ = ["GroupSparseProduct", "aligned_zeros", "padded_pixels"]

#: Rows of x and y are padded to this many elements: one vector of the widest instruction set.
ROW_ALIGNMENT = 16
_SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


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
    compiler : KernelCompiler, optional
        Another target or cache than this machine's.

    Notes
    -----
    Sums run over the kept columns in file order. Every element of y is written by one call of one kernel, so the
    result does not depend on how the work is split.
    """

    def __init__(
        self,
        matrix: SparseMatrix,
        pixels: int,
        bias: npt.NDArray[np.float32] | None = None,
        activation: Activation = Activation.NONE,
        compiler: KernelCompiler | None = None,
    ) -> None:
        if matrix.dtype not in (DType.F32, DType.F16):
            raise BackendError(
                "DTYPE_UNSUPPORTED",
                f"{matrix.name} holds {matrix.dtype.name} values",
                "pack it as F32 or F16",
            )
        if pixels < 1:
            raise InputError("INPUT_SHAPE", f"{pixels} pixels: at least one is needed", "pass a non-empty x")
        if bias is not None and (bias.shape != (matrix.rows,) or bias.dtype != np.float32):
            raise InputError("INPUT_SHAPE", f"bias is not float32 of shape ({matrix.rows},)", "convert it")
        self.matrix, self.pixels, self.stride = matrix, pixels, padded_pixels(pixels)
        self._compiler = compiler or KernelCompiler()
        values = aligned_zeros((matrix.values.size,))
        values[:] = matrix.values
        bias = None if bias is None else bias.copy()
        if matrix.columns * self.stride > 2**31 - 1:
            raise InputError("INPUT_SHAPE", "x has more than 2^31 elements", "split the pixels")
        # The kernels prefetch past the last kept column.
        offsets = np.zeros(matrix.indices.size + PREFETCH_DISTANCE, np.int32)
        offsets[: matrix.indices.size] = matrix.indices.astype(np.int64) * self.stride
        self._memory = (values, offsets, bias)
        self._calls = self._bind(values, offsets, bias, activation)

    def _bind(
        self,
        values: npt.NDArray[np.float32],
        offsets: npt.NDArray[np.int32],
        bias: npt.NDArray[np.float32] | None,
        activation: Activation,
    ) -> list[tuple[str, npt.NDArray[np.int64], npt.NDArray[np.int64], int, int]]:
        calls = []
        target = self._compiler.target
        starts, strip, value = self.matrix.starts, 0, 0
        for band in self.matrix.bands:
            rows, limit = choose_tile(target, band.group)
            vectors = -(-self.pixels // target.lanes)
            tiles = -(-vectors // limit)
            narrow, wide = divmod(vectors, tiles)
            kernel = SpmmChw(
                group=band.group,
                rows=rows,
                vectors=narrow + 1 if wide else narrow,
                mixed=bool(wide) and narrow > 0,
                bias=bias is not None,
                activation=activation,
            )
            name = self._compiler.emit(kernel.name, kernel.emit)
            first = int(starts[strip])
            relative = np.ascontiguousarray(starts[strip : strip + band.strips + 1] - first)
            table = np.zeros(len(Argument), np.int64)
            table[Argument.VALUES] = values.ctypes.data + 4 * value
            table[Argument.OFFSETS] = offsets.ctypes.data + 4 * first
            table[Argument.STARTS] = relative.ctypes.data
            table[Argument.BIAS] = bias.ctypes.data + 4 * band.first_row if bias is not None else 0
            table[Argument.ROW_STRIDE] = self.stride
            table[Argument.STRIPS] = band.strips
            table[Argument.WIDE_TILES] = wide or tiles
            calls.append((name, table, relative, band.first_row, tiles))
            strip += band.strips
            value += int(starts[strip] - first) * band.group
        self._compiler.load()
        self._functions = [_SIGNATURE(self._compiler.address(call[0])) for call in calls]
        return calls

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of the kernels that run, one per band."""
        return tuple(call[0] for call in self._calls)

    def run(self, x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], part: int = 0, parts: int = 1) -> None:
        """Compute part ``part`` of ``parts`` into y without allocating; threads may run different parts at once.

        The global interpreter lock is released while the kernel runs.

        x is float32 of shape (columns, stride) and y of shape (rows, stride), both C-contiguous, with
        ``stride = padded_pixels(pixels)``. Elements of y beyond ``pixels`` are left undefined.
        """
        for name, array, rows in (("x", x, self.matrix.columns), ("y", y, self.matrix.rows)):
            if array.shape != (rows, self.stride) or array.dtype != np.float32 or not array.flags.c_contiguous:
                raise InputError(
                    "INPUT_SHAPE",
                    f"{name} is {array.dtype} of shape {array.shape}, not contiguous float32 {(rows, self.stride)}",
                    "allocate it with aligned_zeros((rows, padded_pixels(pixels)))",
                )
        if not 0 <= part < parts:
            raise InputError("INPUT_PART", f"part {part} of {parts} does not exist", "count parts from 0")
        for function, (_, table, _, first_row, units) in zip(self._functions, self._calls, strict=True):
            # A copy of the table per call: threads may pass different arrays.
            table = table.copy()
            table[Argument.X] = x.ctypes.data
            table[Argument.Y] = y.ctypes.data + 4 * first_row * self.stride
            function(table.ctypes.data, units * part // parts, units * (part + 1) // parts)

    def __call__(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the product for x of shape (columns, pixels)."""
        if x.shape != (self.matrix.columns, self.pixels) or x.dtype != np.float32:
            raise InputError(
                "INPUT_SHAPE",
                f"x is {x.dtype} of shape {x.shape}, not float32 {(self.matrix.columns, self.pixels)}",
                "pass x.astype(numpy.float32) in that shape, or make a product for another number of pixels",
            )
        padded = aligned_zeros((self.matrix.columns, self.stride))
        padded[:, : self.pixels] = x
        result = aligned_zeros((self.matrix.rows, self.stride))
        self.run(padded, result)
        return np.ascontiguousarray(result[:, : self.pixels])

"""From a group-sparse product in a plan to launches of its kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.launch import Address, Launch, address_of, advance, row_stride
from edge_sparse.backends.numba.product_tiling import tile_product
from edge_sparse.backends.numba.spmm_chw import PREFETCH_DISTANCE
from edge_sparse.backends.numba.spmm_kernel import Argument, Epilogue
from edge_sparse.backends.numba.spmm_nhwc import SpmmNhwc
from edge_sparse.errors import BackendError
from edge_sparse.format import packing
from edge_sparse.plan import Band, DType, Layout, SparseMatrix, Tensor

__all__ = ["column_offsets", "float_values", "spmm_launches"]

Attributes = Mapping[str, int | float]
Value = int | Address | npt.NDArray[Any]

#: Work units that a step is cut into at least, so that threads share it evenly.
UNITS = 32


def float_values(matrix: SparseMatrix) -> npt.NDArray[np.float32]:
    """Return the kept weights as float32: the file's own bytes where they are that already, else widened or scaled."""
    return np.ascontiguousarray(packing.float_values(matrix), np.float32)


def column_offsets(matrix: SparseMatrix, x: Tensor, attributes: Attributes) -> npt.NDArray[np.int32]:
    """Return for every kept column how far from the output pixel's place it is read in x, in elements.

    As many zeros follow as the kernels prefetch past the last column.
    """
    columns = matrix.indices.astype(np.int64)
    if x.layout is Layout.ROW_MAJOR:
        offsets = columns
    else:
        a = {name: int(value) for name, value in attributes.items() if isinstance(value, int)}
        channels = matrix.columns // (a["kernel_h"] * a["kernel_w"])
        tap, channel = np.divmod(columns, channels)
        kh, kw = np.divmod(tap, a["kernel_w"])
        dy, dx = kh * a["dilation_h"] - a["pad_top"], kw * a["dilation_w"] - a["pad_left"]
        if a["phase_split"]:
            dy, ry = np.divmod(dy, a["stride_h"])
            dx, rx = np.divmod(dx, a["stride_w"])
            channel = channel + (ry * a["stride_w"] + rx) * channels
        offsets = channel * x.strides[1] + dy * x.strides[2] + dx * x.strides[3]
    if offsets.size and max(-offsets.min(), offsets.max()) >= 2**31:
        raise BackendError("TENSOR_TOO_LARGE", f"{x.name} spans more than 2^31 elements", "split the model's input")
    result = np.zeros(offsets.size + PREFETCH_DISTANCE, np.int32)
    result[: offsets.size] = offsets
    return result


def _first_strip(matrix: SparseMatrix) -> SparseMatrix:
    """Return the first strip of a dense matrix, whose columns all the others keep too."""
    group = matrix.bands[0].group
    return replace(matrix, rows=group, bands=(Band(0, group, group),), counts=matrix.counts[:1])


def spmm_launches(
    compiler: KernelCompiler,
    matrix: SparseMatrix,
    x: Tensor,
    y: Tensor,
    attributes: Attributes,
    epilogue: Epilogue,
    bias: npt.NDArray[np.float32] | None = None,
    residual: Tensor | None = None,
) -> list[Launch]:
    """Return one launch per band of the matrix that holds any rows."""
    rows = y.layout is Layout.ROW_MAJOR
    half, dense = rows and matrix.dtype is DType.F16, rows and matrix.kept is None
    product = _Product(
        matrix,
        attributes,
        replace(epilogue, bias=bias is not None, residual=residual is not None, border=bool(y.border)),
        bias,
        matrix.values if half else float_values(matrix),
        column_offsets(_first_strip(matrix) if dense else matrix, x, attributes),
    )
    if y.symbol_axis != 0:
        return _launches(compiler, product, x, y, residual, 0)
    one = [t if t is None else replace(t, shape=(1, *t.shape[1:]), symbol_axis=-1) for t in (x, y, residual)]
    assert one[0] is not None
    assert one[1] is not None
    single = [replace(launch, tokens=(1, 1)) for launch in _launches(compiler, product, one[0], one[1], one[2], 0)]
    if y.shape[0] == 1:
        return single
    several = _launches(compiler, product, x, y, residual, y.shape[0])
    # Each run takes either the first launches or the second; these wait as those do.
    return single + [replace(launch, tokens=(2, 1 << 31)) for launch in several]


@dataclass(frozen=True)
class _Product:
    """What the launches of a step share; ``values`` and ``offsets`` are those that the kernels read."""

    matrix: SparseMatrix
    attributes: Attributes
    epilogue: Epilogue
    bias: npt.NDArray[np.float32] | None
    values: npt.NDArray[Any]
    offsets: npt.NDArray[np.int32]

    @property
    def half(self) -> bool:
        """Whether values are float16, as they are in the file."""
        return self.values.dtype == np.float16

    def dense(self, y: Tensor) -> bool:
        """Whether the offsets are there once for all strips."""
        return y.layout is Layout.ROW_MAJOR and self.matrix.kept is None


def _launches(
    compiler: KernelCompiler, product: _Product, x: Tensor, y: Tensor, residual: Tensor | None, most_tokens: int
) -> list[Launch]:
    """Return one launch per band; with ``most_tokens`` the number of tokens is that of the run."""
    matrix, bias, values, offsets = product.matrix, product.bias, product.values, product.offsets
    starts = matrix.starts
    launches: list[Launch] = []
    strip = value = 0
    for band in matrix.bands:
        counts = np.diff(starts[strip : strip + band.strips + 1])
        first = int(starts[strip])
        kernel, tiles, block = tile_product(
            compiler, band, product.epilogue, x, y, residual, product.attributes, most_tokens
        )
        if isinstance(kernel, SpmmNhwc):
            kernel = replace(kernel, half=product.half, dense=product.dense(y))
        chunks = _chunks(counts, -(-UNITS * block // max(1, tiles.count)))
        blocks = np.append(np.arange(0, tiles.count, block), tiles.count).astype(np.int64)
        row = 1 if y.layout is Layout.ROW_MAJOR else y.strides[1]
        arguments = _arguments(x, y, residual, row * band.first_row)
        arguments |= {
            Argument.VALUES: values[value:] if values.size > value else np.zeros(band.group, np.float32),
            Argument.OFFSETS: offsets if product.dense(y) else offsets[first:],
            Argument.STARTS: np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            Argument.BIAS: 0 if bias is None else bias[band.first_row :],
            Argument.TILES: tiles.records,
            Argument.WIDE_TILES: tiles.wide,
            Argument.ZEROS: tiles.zeros,
            Argument.BLOCKS: blocks,
            Argument.CHUNKS: chunks,
            Argument.CHUNK_COUNT: len(chunks) - 1,
        }
        # Units of one block are neighbours, so the first blocks are the first units.
        units = (1 if most_tokens else len(blocks) - 1) * (len(chunks) - 1)
        unit_tokens = tiles.size * block if most_tokens else 0
        name = compiler.emit(kernel.name, kernel.emit)
        table = [arguments[a] for a in Argument]
        launches.append(Launch(name, table, units, independent=bool(launches), unit_tokens=unit_tokens))
        strip += band.strips
        value += int(starts[strip] - first) * band.group
    return launches


def _arguments(x: Tensor, y: Tensor, residual: Tensor | None, first: int) -> dict[Argument, Value]:
    """Return the addresses of the tensors and the distance of rows (CHW) or pixels (NHWC)."""

    def stride(tensor: Tensor) -> int:
        if tensor.layout is Layout.ROW_MAJOR:
            return row_stride(tensor)
        return tensor.strides[1 if tensor.layout is Layout.CHW else 3]

    result: dict[Argument, Value] = {
        Argument.X: address_of(x),
        Argument.Y: advance(address_of(y), first),
        Argument.Y_STRIDE: stride(y),
        Argument.RESIDUAL: 0,
        Argument.RESIDUAL_STRIDE: 0,
    }
    if residual is not None:
        row = 1 if residual.layout is Layout.ROW_MAJOR else residual.strides[1]
        first = first // (1 if y.layout is Layout.ROW_MAJOR else y.strides[1]) * row
        result |= {Argument.RESIDUAL: advance(address_of(residual), first), Argument.RESIDUAL_STRIDE: stride(residual)}
    return result


def _chunks(counts: npt.NDArray[np.int64], wanted: int) -> npt.NDArray[np.int64]:
    """Cut the strips into at most ``wanted`` chunks of about equal work."""
    # A strip without columns still writes its rows: about the work of four columns.
    work = np.cumsum(counts + 4)
    marks = work[-1] * np.arange(1, max(1, min(wanted, counts.size))) / max(1, min(wanted, counts.size))
    inner = np.searchsorted(work, marks) + 1
    return np.unique(np.concatenate([[0], inner, [counts.size]])).astype(np.int64)

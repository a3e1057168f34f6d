"""From a group-sparse product in a plan to launches of its kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.numba import spmm_chw, spmm_nhwc
from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.launch import Address, Launch, address_of, advance, row_stride
from edge_sparse.backends.numba.spmm_chw import PREFETCH_DISTANCE, SpmmChw
from edge_sparse.backends.numba.spmm_kernel import Argument, Epilogue, SpmmKernel
from edge_sparse.backends.numba.spmm_nhwc import SpmmNhwc
from edge_sparse.backends.numba.tiles import Run, Tiles, cut
from edge_sparse.errors import BackendError
from edge_sparse.format import packing
from edge_sparse.plan import Band, DType, Layout, SparseMatrix, Tensor

__all__ = ["column_offsets", "float_values", "spmm_launches"]

Attributes = Mapping[str, int | float]
Value = int | Address | npt.NDArray[Any]

#: What starting a tile of NHWC pixels costs, in pixels.
TILE_OVERHEAD = 1
#: Work units that a step is cut into at least, so that threads share it evenly.
UNITS = 32
#: NHWC pixels of one block: a quarter of a usual 512 KiB second-level cache.
BLOCK_BYTES = 128 << 10
#: The same where the weights exceed the cache and should pass once: half of 1 MiB.
STREAMED_BLOCK_BYTES = 512 << 10


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
    if y.symbol_axis == 0:
        return _by_tokens(compiler, matrix, x, y, attributes, epilogue, bias, residual)
    return _launches(compiler, matrix, x, y, attributes, epilogue, bias, residual, 0)


def _by_tokens(
    compiler: KernelCompiler,
    matrix: SparseMatrix,
    x: Tensor,
    y: Tensor,
    attributes: Attributes,
    epilogue: Epilogue,
    bias: npt.NDArray[np.float32] | None,
    residual: Tensor | None,
) -> list[Launch]:
    """Return launches for one token and launches for several, whose tiles all have one size."""
    one = [t if t is None else replace(t, shape=(1, *t.shape[1:]), symbol_axis=-1) for t in (x, y, residual)]
    assert one[0] is not None
    assert one[1] is not None
    single = _launches(compiler, matrix, one[0], one[1], attributes, epilogue, bias, one[2], 0)
    single = [replace(launch, tokens=(1, 1)) for launch in single]
    if y.shape[0] == 1:
        return single
    several = _launches(compiler, matrix, x, y, attributes, epilogue, bias, residual, y.shape[0])
    # Each run takes either the first launches or the second; these wait as those do.
    return single + [replace(launch, tokens=(2, 1 << 31)) for launch in several]


def _launches(
    compiler: KernelCompiler,
    matrix: SparseMatrix,
    x: Tensor,
    y: Tensor,
    attributes: Attributes,
    epilogue: Epilogue,
    bias: npt.NDArray[np.float32] | None,
    residual: Tensor | None,
    most_tokens: int,
) -> list[Launch]:
    rows = y.layout is Layout.ROW_MAJOR
    half, dense = rows and matrix.dtype is DType.F16, rows and matrix.kept is None
    values = matrix.values if half else float_values(matrix)
    offsets = column_offsets(_first_strip(matrix) if dense else matrix, x, attributes)
    epilogue = replace(epilogue, bias=bias is not None, residual=residual is not None, border=bool(y.border))
    starts = matrix.starts
    launches: list[Launch] = []
    strip = value = 0
    for band in matrix.bands:
        counts = np.diff(starts[strip : strip + band.strips + 1])
        first = int(starts[strip])
        kernel, tiles, block = _tiling(compiler, band, epilogue, x, y, residual, attributes, most_tokens)
        if isinstance(kernel, SpmmNhwc):
            kernel = replace(kernel, half=half, dense=dense)
        chunks = _chunks(counts, -(-UNITS * block // max(1, tiles.count)))
        blocks = np.append(np.arange(0, tiles.count, block), tiles.count).astype(np.int64)
        row = 1 if y.layout is Layout.ROW_MAJOR else y.strides[1]
        arguments = _arguments(x, y, residual, row * band.first_row)
        arguments |= {
            Argument.VALUES: values[value:] if values.size > value else np.zeros(band.group, np.float32),
            Argument.OFFSETS: offsets if dense else offsets[first:],
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


def _tiling(
    compiler: KernelCompiler,
    band: Band,
    epilogue: Epilogue,
    x: Tensor,
    y: Tensor,
    residual: Tensor | None,
    attributes: Attributes,
    most_tokens: int,
) -> tuple[SpmmKernel, Tiles, int]:
    """Return the kernel of a band, its tiles, and how many tiles form a block.

    With ``most_tokens`` all tiles have one size, so that the first n of them are the first n * size tokens.
    """
    target = compiler.target
    if y.layout is Layout.CHW:
        rows, limit = spmm_chw.choose_tile(target, band.group)
        tiles = cut(_chw_runs(x, y, residual, attributes, target.lanes), limit, target.lanes, 1, (1, 1), y)
        return SpmmChw(band.group, tiles.size, tiles.mixed, epilogue, rows), tiles, 1
    lanes, vectors, limit = spmm_nhwc.choose_tile(target, band.group)
    if most_tokens:
        limit = max(size for size in range(1, limit + 1) if most_tokens % size == 0)
    if y.layout is Layout.ROW_MAJOR:
        pixel, runs = row_stride(x), [Run(0, 0, y.size // y.shape[-1] if y.shape else 1, 0, 0)]
        steps = (row_stride(y), 0 if residual is None else row_stride(residual))
    else:
        pixel = x.strides[3] * int(attributes["stride_w"])
        runs = _nhwc_runs(x, y, residual, attributes, limit)
        steps = (y.strides[3], 0 if residual is None else residual.strides[3])
    tiles = cut(runs, limit, 1, pixel, steps, y)
    kernel = SpmmNhwc(band.group, tiles.size, tiles.mixed, epilogue, lanes, vectors, pixel)
    block = STREAMED_BLOCK_BYTES if attributes["strips_outermost"] else BLOCK_BYTES
    if most_tokens:
        return kernel, tiles, 1
    return kernel, tiles, max(1, block // (4 * pixel * tiles.size))


def _flat_pixels(tensor: Tensor) -> int:
    """Pixels from the first to the last real one, gaps between rows included."""
    return (tensor.shape[2] - 1) * (tensor.strides[2] // tensor.strides[3]) + tensor.shape[3]


def _flat(tensors: Sequence[Tensor], attributes: Attributes) -> bool:
    """Whether one flat pixel index addresses all tensors."""
    rows = {tensor.strides[2] // tensor.strides[3] for tensor in tensors}
    strided = (attributes["stride_h"], attributes["stride_w"]) != (1, 1) and not attributes["phase_split"]
    return not strided and (len(rows) == 1 or tensors[1].shape[2] == 1)


def _chw_runs(x: Tensor, y: Tensor, residual: Tensor | None, attributes: Attributes, lanes: int) -> list[Run]:
    tensors = [x, y] if residual is None else [x, y, residual]
    if not _flat(tensors, attributes):
        raise BackendError("PLAN_UNSUPPORTED", f"{x.name} and {y.name} have different row strides", "convert it again")
    length = -(-_flat_pixels(y) // lanes)
    other = 0 if residual is None else residual.strides[0]
    return [Run(n, 0, length, n * x.strides[0], n * y.strides[0], n * other) for n in range(y.shape[0])]


def _nhwc_runs(x: Tensor, y: Tensor, residual: Tensor | None, attributes: Attributes, limit: int) -> list[Run]:
    """Return one run per image or one per row, whichever takes fewer pixels and tiles of at most ``limit``.

    Flat runs compute the gaps between rows too: 6 % of a 14x14 image whose consumer needs a border.
    """
    tensors = [x, y] if residual is None else [x, y, residual]
    strides = (0,) * 4 if residual is None else residual.strides
    batch, _, height, width = y.shape
    length = _flat_pixels(y)
    by_row = height * (width + TILE_OVERHEAD * -(-width // limit))
    if _flat(tensors, attributes) and length + TILE_OVERHEAD * -(-length // limit) <= by_row:
        return [Run(n, 0, length, n * x.strides[0], n * y.strides[0], n * strides[0]) for n in range(batch)]
    step, row = int(attributes["stride_h"]), y.strides[2] // y.strides[3]
    step = 1 if attributes["phase_split"] else step
    return [
        Run(
            n,
            i * row,
            width,
            n * x.strides[0] + i * step * x.strides[2],
            n * y.strides[0] + i * y.strides[2],
            n * strides[0] + i * strides[2],
        )
        for n in range(batch)
        for i in range(height)
    ]


def _chunks(counts: npt.NDArray[np.int64], wanted: int) -> npt.NDArray[np.int64]:
    """Cut the strips into at most ``wanted`` chunks of about equal work."""
    # A strip without columns still writes its rows: about the work of four columns.
    work = np.cumsum(counts + 4)
    marks = work[-1] * np.arange(1, max(1, min(wanted, counts.size))) / max(1, min(wanted, counts.size))
    inner = np.searchsorted(work, marks) + 1
    return np.unique(np.concatenate([[0], inner, [counts.size]])).astype(np.int64)

"""``embedding``: rows of a table or of a matrix without zeros, and the copy of the last row of a run.

A row of a matrix lies in a strip of G rows: float values ``[column][row]``, integers in tiles of G rows x 4 columns.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.half_precision import load_halves
from edge_sparse.backends.numba.launch import TOKENS, Launch, RunValue, address_of, row_stride
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.format.integer_packing import TILE_GRANULE, packed_bytes, segments_of
from edge_sparse.format.packing import dense
from edge_sparse.plan import Band, DType, SparseMatrix, Tensor

__all__ = ["EmbeddingKernel", "embedding_launch", "take_last_launch"]


class EmbeddingArgument(enum.IntEnum):
    """Positions in the argument table.

    ``BANDS`` holds (first row, group, first value in bytes, first scale, bytes of a strip, scales of a strip) per band.
    ``SEGMENT`` is the number of columns that share a scale.
    """

    IDS = 0
    Y = 1
    Y_STRIDE = 2
    VALUES = 3
    SCALES = 4
    BANDS = 5
    BAND_COUNT = 6
    COLUMNS = 7
    SEGMENT = 8


_BAND_FIELDS = 6


@dataclass(frozen=True)
class EmbeddingKernel:
    """Emitter of one kernel; work units are tokens."""

    dtype: DType

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return f"embedding_{self.dtype.name.lower()}"

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel; a row is a small part of a token's work, so it is copied one by one."""
        b = k.b
        bands = k.pointer(EmbeddingArgument.BANDS, k.i64)
        with k.loop(k.begin, k.end) as token:
            row = k.load_int(k.pointer(EmbeddingArgument.IDS, k.i32), token)
            with k.reduce(0, k.arg(EmbeddingArgument.BAND_COUNT), [k.integer(0)]) as (index, found, following):
                place = b.mul(index, k.integer(_BAND_FIELDS))
                begun = b.icmp_signed(">=", row, k.load_int(bands, place))
                following[0] = b.select(begun, place, found[0])
            first, group, value, scale, value_step, scale_step = (
                k.load_int(k.at(bands, found[0]), field) for field in range(_BAND_FIELDS)
            )
            inside = b.sub(row, first)
            strip, own = b.sdiv(inside, group), b.srem(inside, group)
            values = k.at(k.pointer(EmbeddingArgument.VALUES, k.i8), value, b.mul(strip, value_step))
            scales = b.add(scale, b.add(b.mul(strip, scale_step), own))
            y = k.at(k.pointer(EmbeddingArgument.Y), b.mul(token, k.arg(EmbeddingArgument.Y_STRIDE)))
            with k.loop(0, k.arg(EmbeddingArgument.COLUMNS)) as column:
                k.store(self._element(k, values, scales, group, own, column), k.at(y, column))

    def _element(self, k: KernelBuilder, values: Any, scales: Any, group: Any, own: Any, column: Any) -> Any:
        b = k.b
        if self.dtype in (DType.F32, DType.F16):
            kind = k.f32 if self.dtype is DType.F32 else k.f16
            place = k.at(b.bitcast(values, kind.as_pointer()), b.add(b.mul(column, group), own))
            return k.load(place) if self.dtype is DType.F32 else load_halves(k, place, 1)
        granule = TILE_GRANULE[self.dtype]
        tile = b.mul(b.udiv(column, k.integer(granule)), group)
        byte = b.add(b.mul(b.add(tile, own), k.integer(4)), b.and_(column, k.integer(3)))
        stored = b.load(k.at(values, byte))
        if self.dtype is DType.S8:
            number = b.sext(stored, k.i32)
        else:
            high = b.trunc(b.and_(column, k.integer(4)), k.i32)
            number = b.sub(b.and_(b.lshr(b.zext(stored, k.i32), high), k.i32(15)), k.i32(8))
        segment = b.udiv(column, k.arg(EmbeddingArgument.SEGMENT))
        place = k.at(k.pointer(EmbeddingArgument.SCALES, k.f16), b.add(scales, b.mul(segment, group)))
        return b.fmul(b.sitofp(number, k.f32), load_halves(k, place, 1))


@dataclass(frozen=True)
class _Rows:
    """Rows as the kernel reads them."""

    dtype: DType
    columns: int
    values: npt.NDArray[Any]
    bands: npt.NDArray[np.int64]
    scales: npt.NDArray[np.float16]
    segment: int


def _rows_of_table(data: npt.NDArray[Any]) -> _Rows:
    dtype = DType.F16 if data.dtype == np.float16 else DType.F32
    bands = np.array([[0, 1, 0, 0, data.shape[1] * data.itemsize, 0]], np.int64)
    values = np.ascontiguousarray(data).reshape(-1)
    return _Rows(dtype, data.shape[1], values, bands, np.zeros(1, np.float16), data.shape[1])


def _rows_of_matrix(matrix: SparseMatrix) -> _Rows:
    """Return the rows where they lie; of matrices with zeros, and ternary ones, a dense copy."""
    if matrix.kept is not None or matrix.dtype is DType.TERNARY:
        return _rows_of_table(dense(matrix))
    scales = np.zeros(1, np.float16) if matrix.scales is None else matrix.scales
    count = np.array([matrix.columns], np.uint32)
    records, value, scale = [], 0, 0
    for band in matrix.bands:
        if matrix.scales is None:
            value_step, scale_step = matrix.columns * band.group * matrix.values.itemsize, 0
        else:
            value_step = packed_bytes((Band(0, band.group, band.group),), count, matrix.dtype)
            scale_step = int(segments_of(count, matrix.segment)[0]) * band.group
        records.append([band.first_row, band.group, value, scale, value_step, scale_step])
        value, scale = value + band.strips * value_step, scale + band.strips * scale_step
    values, segment = np.ascontiguousarray(matrix.values).reshape(-1), matrix.segment or matrix.columns
    return _Rows(
        matrix.dtype, matrix.columns, values, np.array(records, np.int64), np.ascontiguousarray(scales), segment
    )


def embedding_launch(
    compiler: KernelCompiler, ids: Tensor, y: Tensor, table: Tensor | None, matrix: SparseMatrix | None
) -> Launch:
    """Return the launch of EMBEDDING; ids must be in range when it runs."""
    if table is not None:
        assert table.data is not None
        rows = _rows_of_table(table.data)
    else:
        assert matrix is not None
        rows = _rows_of_matrix(matrix)
    kernel = EmbeddingKernel(rows.dtype)
    name = compiler.emit(kernel.name, kernel.emit)
    arguments = [address_of(ids), address_of(y), row_stride(y), rows.values, rows.scales, rows.bands, len(rows.bands)]
    arguments += [rows.columns, rows.segment]
    units = (1, 1) if ids.symbol_axis == 0 else (ids.shape[0], 0)
    return Launch(name, arguments, units[0], unit_tokens=units[1])


class TakeLastArgument(enum.IntEnum):
    """Positions in the argument table of the copy of the last row."""

    X = 0
    Y = 1
    ROWS = 2
    X_STRIDE = 3
    WIDTH = 4


def take_last_launch(compiler: KernelCompiler, x: Tensor, y: Tensor) -> Launch:
    """Return the launch of TAKE_LAST."""
    rows: RunValue | int = TOKENS if x.symbol_axis == 0 else x.shape[0]
    name = compiler.emit("take_last_f32", _emit_take_last)
    return Launch(name, [address_of(x), address_of(y), rows, row_stride(x), x.shape[1]], 1)


def _emit_take_last(k: KernelBuilder) -> None:
    last = k.b.sub(k.arg(TakeLastArgument.ROWS), k.integer(1))
    x = k.at(k.pointer(TakeLastArgument.X), k.b.mul(last, k.arg(TakeLastArgument.X_STRIDE)))
    with k.loop(0, k.arg(TakeLastArgument.WIDTH)) as column:
        k.store(k.load(k.at(x, column)), k.at(k.pointer(TakeLastArgument.Y), column))

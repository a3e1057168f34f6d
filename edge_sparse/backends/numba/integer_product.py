"""Launches of a product that rounds its input to integers: quantise the rows, then multiply band by band."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.integer_dot import IntegerDot, choose_dot
from edge_sparse.backends.numba.integer_strip import IntegerStrip
from edge_sparse.backends.numba.launch import TOKENS, Address, Launch, RunValue, address_of, advance, row_stride
from edge_sparse.backends.numba.quantise_rows import QuantiseArgument, QuantiseRows, quantised_stride
from edge_sparse.backends.numba.round_rows import RoundRows
from edge_sparse.backends.numba.scratch import Scratch
from edge_sparse.backends.numba.spmm import spmm_launches
from edge_sparse.backends.numba.spmm_integer import IntegerArgument, SpmmInteger
from edge_sparse.backends.numba.spmm_kernel import Epilogue
from edge_sparse.format.column_index import bitmap_of
from edge_sparse.format.integer_packing import TILE_GRANULE, segments_of
from edge_sparse.plan import DType, SparseMatrix, Storage, Tensor

__all__ = ["integer_launches", "same_integers"]

Value = int | Address | RunValue | npt.NDArray[Any]

#: Tokens of one register tile: as many sums as the registers hold beside weights, scales and constants.
TOKEN_TILES = {32: (12, 4, 1), 16: (4, 1)}
#: Bytes of a kernel's stack that packed rows may take, and as many that sums of weights may.
STACK_BYTES = 96 << 10
#: Kept columns whose products may be summed in 32 bits.
COLUMN_LIMIT = 1 << 16


def _dots(compiler: KernelCompiler, matrix: SparseMatrix) -> list[IntegerDot] | None:
    """Return the dot product of every band, or None where the matrix must be widened to float32."""
    dots = [choose_dot(compiler.target, band.group) for band in matrix.bands]
    fits = matrix.dtype in (DType.S8, DType.S4) and matrix.columns <= COLUMN_LIMIT
    fits = fits and (matrix.kept is None or quantised_stride(matrix.columns) <= STACK_BYTES)
    segments = -(-matrix.columns // matrix.segment) if matrix.segment else 1
    fits = fits and 4 * segments * max(band.group for band in matrix.bands) <= STACK_BYTES
    found = [dot for dot in dots if dot is not None]
    return found if fits and len(found) == len(dots) else None


def _offsets(dots: list[IntegerDot], dtype: DType) -> tuple[int, int]:
    """Return the offsets of weights and of x, which are those of all bands."""
    return dots[0].weight_offset(dtype), dots[0].x_offset(dtype)


def same_integers(compiler: KernelCompiler, a: SparseMatrix, b: SparseMatrix) -> bool:
    """Return whether two products of one x can share its quantised rows and their sums."""
    forms = []
    for matrix in (a, b):
        dots = _dots(compiler, matrix)
        offsets = None if dots is None else _offsets(dots, matrix.dtype)
        forms.append((matrix.columns, matrix.segment, offsets))
    return forms[0] == forms[1]


def integer_launches(
    compiler: KernelCompiler,
    scratch: Scratch,
    matrix: SparseMatrix,
    x: Tensor,
    y: Tensor,
    attributes: Mapping[str, int | float],
    epilogue: Epilogue,
    bias: npt.NDArray[np.float32] | None = None,
    residual: Tensor | None = None,
    *,
    quantised: bool = False,
) -> list[Launch]:
    """Return the launches of one step.

    Parameters
    ----------
    quantised : bool
        The step before this one quantised the same x for a matrix of the same form, and its products need not be
        waited for.
    """
    rows = x.size // matrix.columns
    dots = _dots(compiler, matrix)
    units, unit_tokens = (1, 1) if x.symbol_axis == 0 else (rows, 0)
    if dots is None:
        (place,) = scratch.places(4 * rows * matrix.columns)
        rounded = replace(x, storage=Storage.ARENA, offset=place.offset, strides=(matrix.columns, 1)[-len(x.shape) :])
        rounding = RoundRows(matrix.columns)
        name = compiler.emit(rounding.name, rounding.emit)
        first = Launch(name, [address_of(x), row_stride(x), place], units, unit_tokens=unit_tokens)
        rest = spmm_launches(compiler, matrix, rounded, y, attributes, epilogue, bias, residual)
        return rest if quantised else [first, *rest]
    segment = matrix.segment or -(-matrix.columns // 64) * 64
    segments = -(-matrix.columns // segment)
    places = scratch.places(rows * quantised_stride(matrix.columns), 4 * rows, 4 * rows * segments)
    launches = []
    if not quantised:
        arguments: dict[QuantiseArgument, Value] = {
            QuantiseArgument.X: address_of(x),
            QuantiseArgument.X_STRIDE: row_stride(x),
            QuantiseArgument.INTEGERS: places[0],
            QuantiseArgument.SCALES: places[1],
            QuantiseArgument.SUMS: places[2],
        }
        weight_offset, x_offset = _offsets(dots, matrix.dtype)
        one = QuantiseRows(matrix.columns, segment if weight_offset else 0, weight_offset, 0)
        several = QuantiseRows(matrix.columns, 0, 0, x_offset)
        table = [arguments[a] for a in QuantiseArgument]
        for kernel, runs in ((one, (1, 1)), (several, (2, 1 << 31))):
            if y.symbol_axis == 0 or runs[0] <= rows <= runs[1]:
                name = compiler.emit(kernel.name, kernel.emit)
                launches.append(Launch(name, table, units, unit_tokens=unit_tokens, tokens=_runs(y, runs)))
    epilogue = replace(epilogue, bias=bias is not None, residual=residual is not None)
    return launches + _bands(compiler, matrix, dots, places, y, epilogue, bias, residual, quantised)


def _runs(y: Tensor, runs: tuple[int, int]) -> tuple[int, int]:
    """Return the runs that a launch is for; without a symbol it is there because it fits."""
    return runs if y.symbol_axis == 0 else (1, 1 << 31)


def _bands(
    compiler: KernelCompiler,
    matrix: SparseMatrix,
    dots: list[IntegerDot],
    places: tuple[Address, ...],
    y: Tensor,
    epilogue: Epilogue,
    bias: npt.NDArray[np.float32] | None,
    residual: Tensor | None,
    quantised: bool,
) -> list[Launch]:
    granules = -(-matrix.counts.astype(np.int64) // TILE_GRANULE[matrix.dtype])
    parts = segments_of(matrix.counts, matrix.segment)
    assert matrix.scales is not None
    values, scales = matrix.values.view(np.uint8), matrix.scales
    bitmap = None if matrix.kept is None else _words(matrix)
    launches: list[Launch] = []
    strip = value = scale = 0
    row_bytes = 4
    for band, dot in zip(matrix.bands, dots, strict=True):
        own = slice(strip, strip + band.strips)
        strips = np.empty((band.strips, 3), np.int64)
        strips[:, 0] = np.cumsum(granules[own]) - granules[own]
        strips[:, 1] = np.cumsum(parts[own]) - parts[own]
        strips[:, 2] = matrix.counts[own]
        arguments: dict[IntegerArgument, Value] = {
            IntegerArgument.INTEGERS: places[0],
            IntegerArgument.ROW_SCALES: places[1],
            IntegerArgument.SUMS: places[2],
            IntegerArgument.VALUES: values[value:],
            IntegerArgument.SCALES: scales[scale:],
            IntegerArgument.STRIPS: strips,
            IntegerArgument.BITMAP: 0 if bitmap is None else bitmap[own],
            IntegerArgument.BIAS: 0 if bias is None else bias[band.first_row :],
            IntegerArgument.Y: advance(address_of(y), band.first_row),
            IntegerArgument.Y_STRIDE: row_stride(y),
            IntegerArgument.RESIDUAL: 0 if residual is None else advance(address_of(residual), band.first_row),
            IntegerArgument.RESIDUAL_STRIDE: 0 if residual is None else row_stride(residual),
            IntegerArgument.TOKENS: TOKENS if y.symbol_axis == 0 else y.size // matrix.rows,
        }
        for tiles, runs in _token_tiles(compiler, matrix, band.group // dot.lanes, y):
            form = (matrix.dtype, band.group, matrix.columns, matrix.segment, bitmap is not None)
            kernel = SpmmInteger(IntegerStrip(*form, dot, tiles != (1,)), tiles, epilogue)
            name = compiler.emit(kernel.name, kernel.emit)
            waits = not launches and not quantised
            table = [arguments[a] for a in IntegerArgument]
            launches.append(Launch(name, table, band.strips, independent=not waits, tokens=runs))
        strip += band.strips
        value += int(granules[own].sum()) * row_bytes * band.group
        scale += int(parts[own].sum()) * band.group
    return launches


def _token_tiles(
    compiler: KernelCompiler, matrix: SparseMatrix, vectors: int, y: Tensor
) -> list[tuple[tuple[int, ...], tuple[int, int]]]:
    """Return tiles of tokens, and the runs that use them: one token has code of its own."""
    tiles = TOKEN_TILES[compiler.target.registers]
    most = max(tiles[0] // vectors, 1)
    if matrix.kept is not None:
        most = min(most, STACK_BYTES // quantised_stride(matrix.columns))
    several = tuple(dict.fromkeys(min(tile, most) for tile in tiles))
    if several == (1,):
        # The code for several tokens is known by its tiles.
        several = (2, 1)
    choices = [((1,), (1, 1)), (several, (2, 1 << 31))]
    if y.symbol_axis == 0:
        return choices
    return [(choices[y.size > matrix.rows][0], (1, 1 << 31))]


def _words(matrix: SparseMatrix) -> npt.NDArray[np.uint64]:
    """Return the bitmap in whole words, shape (strips, words)."""
    bitmap = bitmap_of(matrix)
    width = -(-matrix.columns // 64) * 8
    if bitmap.shape[1] == width and bitmap.flags.c_contiguous:
        return bitmap.view(np.uint64)
    padded = np.zeros((len(bitmap), width), np.uint8)
    padded[:, : bitmap.shape[1]] = bitmap
    return padded.view(np.uint64)

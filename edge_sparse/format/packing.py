"""Between dense weights and group-sparse matrices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import PruningError
from edge_sparse.format.integer_packing import TILE_GRANULE, pack_integers, unpack_integers
from edge_sparse.plan import Band, DType, SparseMatrix

__all__ = ["GROUPS", "bands_of", "dense", "float_values", "pack_dense"]

#: Group sizes of the format.
GROUPS = (1, 2, 4, 8, 16, 32)


def bands_of(rows: int, group: int) -> tuple[Band, ...]:
    """Cut rows into bands: as many strips of ``group`` as fit, then the rest in smaller powers of two.

    24 rows with ``group=16`` give a band of 16 and a band of 8, so that kernels have no row tails.
    """
    if group not in GROUPS:
        raise PruningError("GROUP_UNKNOWN", f"group size {group} is not one of {GROUPS}", "choose one of those")
    bands, first = [], 0
    while group:
        count = (rows - first) // group * group
        if count:
            bands.append(Band(first, count, group))
            first += count
        group //= 2
    return tuple(bands)


def pack_dense(
    name: str,
    weights: npt.NDArray[np.float32],
    group: int,
    *,
    dtype: DType = DType.F32,
    segment: int = 0,
    kept: npt.NDArray[np.bool_] | None = None,
) -> SparseMatrix:
    """Pack a matrix, dropping every group (``group`` rows x 1 column) whose weights are all zero.

    Parameters
    ----------
    weights : ndarray of float32, shape (rows, columns)
    group : int
        One of ``GROUPS``; rows that it does not divide get bands of smaller groups.
    dtype : DType
        ``F32``, ``F16``, or ``S8``, ``S4``, ``TERNARY`` with float16 scales per row and segment.
    segment : int
        Kept columns of a strip that share a scale, 0 for all; a multiple of 4, for S4 of 8. Integer values only.
    kept : ndarray of bool, shape (strips, columns), optional
        The groups to keep instead, whatever their weights.
    """
    if dtype not in (DType.F32, DType.F16, *TILE_GRANULE):
        raise PruningError("DTYPE_UNSUPPORTED", f"packing to {dtype.name} is not supported", "use F32 or F16")
    if segment and (dtype not in TILE_GRANULE or segment % TILE_GRANULE[dtype]):
        raise PruningError("SEGMENT_UNSUPPORTED", f"segments of {segment} {dtype.name} columns", "use a multiple of 8")
    if weights.ndim != 2:
        raise PruningError("WEIGHTS_RANK", f"weights of {name} have {weights.ndim} axes instead of 2", "reshape them")
    rows, columns = weights.shape
    bands = bands_of(rows, group)
    masks: list[npt.NDArray[np.bool_]] = []
    values, strip = [], 0
    for band in bands:
        block = weights[band.first_row : band.first_row + band.rows].reshape(band.strips, band.group, columns)
        keep = (block != 0).any(axis=1) if kept is None else kept[strip : strip + band.strips]
        masks.append(keep)
        strip += band.strips
        if dtype not in TILE_GRANULE:
            values.append(block.transpose(0, 2, 1)[keep].astype(dtype.numpy).ravel())
    mask = np.concatenate(masks or [np.zeros((0, columns), np.bool_)])
    counts = mask.sum(axis=1, dtype=np.uint32)
    packed: npt.NDArray[np.generic] = np.concatenate(values or [np.zeros(0, dtype.numpy)])
    scales = None
    if dtype in TILE_GRANULE:
        packed, scales = pack_integers(weights, bands, None if mask.all() else mask, segment, dtype)
    bitmap = None if mask.all() else np.packbits(mask, axis=1, bitorder="little")
    return SparseMatrix(name, rows, columns, bands, counts, bitmap, dtype, packed, segment, scales)


def float_values(matrix: SparseMatrix) -> npt.NDArray[np.generic]:
    """Return the kept weights, strip after strip, each kept column's group together; integers are scaled."""
    if matrix.dtype not in TILE_GRANULE:
        return matrix.values
    assert matrix.scales is not None
    return unpack_integers(matrix.values, matrix.scales, matrix.bands, matrix.counts, matrix.segment, matrix.dtype)


def dense(matrix: SparseMatrix) -> npt.NDArray[np.float32]:
    """Return the matrix as a dense float32 array of shape (rows, columns)."""
    result = np.zeros((matrix.rows, matrix.columns), np.float32)
    starts, values, indices = matrix.starts, float_values(matrix), matrix.indices
    strip = value = 0
    for band in matrix.bands:
        counts = matrix.counts[strip : strip + band.strips]
        columns = indices[starts[strip] : starts[strip + band.strips]]
        size = columns.size * band.group
        block = values[value : value + size].reshape(columns.size, band.group)
        rows = band.first_row + np.repeat(np.arange(band.strips), counts) * band.group
        result[rows[:, None] + np.arange(band.group), columns[:, None]] = block
        strip += band.strips
        value += size
    return result

"""Integer weights as tiles: S8, S4 and TERNARY values of a group-sparse matrix, with float16 scales.

The kept columns of a strip are padded to whole tiles of 4 columns (with value 0), and a tile of G rows x 4 columns is
stored row after row. S8: 4 bytes per row. TERNARY: one byte per row, column c in bits 2c and 2c+1 as value + 1. S4: two
tiles share their bytes, the first in the low nibble, value + 8; an odd number of tiles gets one of zeros. Every
``segment`` kept columns of a strip have one scale per row.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from edge_sparse.format.scale_search import quantise
from edge_sparse.plan import Band, DType

__all__ = ["TILE_COLUMNS", "TILE_GRANULE", "pack_integers", "packed_bytes", "segments_of", "unpack_integers"]

TILE_COLUMNS = 4
#: Kept columns that are stored together: two tiles for S4, which share bytes. Segments are multiples of it.
TILE_GRANULE = {DType.S8: 4, DType.S4: 8, DType.TERNARY: 4}
#: Bytes of one row in one granule.
_ROW_BYTES = {DType.S8: 4, DType.S4: 4, DType.TERNARY: 1}
#: Weights that are handled at once: what fits a cache.
_CHUNK = 1 << 18

Counts = npt.NDArray[np.uint32]
Strips = npt.NDArray[np.bool_]


def segments_of(counts: Counts, segment: int) -> npt.NDArray[np.int64]:
    """Return how many scales a row of every strip has; ``segment`` 0 means one."""
    return -(-counts.astype(np.int64) // segment) if segment else np.ones(counts.size, np.int64)


def packed_bytes(bands: tuple[Band, ...], counts: Counts, dtype: DType) -> int:
    """Return the bytes that the values take."""
    granules = -(-counts.astype(np.int64) // TILE_GRANULE[dtype])
    groups = np.concatenate([np.full(band.strips, band.group, np.int64) for band in bands])
    return int((granules * groups).sum()) * _ROW_BYTES[dtype]


def pack_integers(
    weights: npt.NDArray[np.float32], bands: tuple[Band, ...], kept: Strips | None, segment: int, dtype: DType
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
    """Quantise the kept columns of a dense matrix.

    Parameters
    ----------
    weights : ndarray of float32, shape (rows, columns)
    bands : tuple of Band
    kept : ndarray of bool, shape (strips, columns), optional
        Columns that every strip keeps; all by default.
    segment : int
        Kept columns that share a scale, 0 for all.
    dtype : DType

    Returns
    -------
    values : ndarray of uint8
    scales : ndarray of float16
    """
    values, scales = [np.zeros(0, np.uint8)], [np.zeros(0, np.float16)]
    for band, first, last in _chunks(bands, weights.shape[1]):
        rows = weights[band.first_row : band.first_row + band.rows].reshape(band.strips, band.group, -1)
        base = sum(b.strips for b in bands if b.first_row < band.first_row)
        part = None if kept is None else kept[base + first : base + last]
        packed = _pack_chunk(np.asarray(rows[first:last], np.float32), part, segment, dtype)
        values.append(packed[0])
        scales.append(packed[1])
    return np.concatenate(values), np.concatenate(scales)


def _chunks(bands: tuple[Band, ...], columns: int) -> Iterator[tuple[Band, int, int]]:
    for band in bands:
        size = max(1, _CHUNK // max(1, band.group * columns))
        for first in range(0, band.strips, size):
            yield band, first, min(band.strips, first + size)


def _pack_chunk(
    rows: npt.NDArray[np.float32], kept: Strips | None, segment: int, dtype: DType
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
    """Pack strips, shape (strips, group, columns)."""
    strips, group, columns = rows.shape
    counts = np.full(strips, columns, np.uint32) if kept is None else kept.sum(axis=1, dtype=np.uint32)
    granule = TILE_GRANULE[dtype]
    longest = int(counts.max(initial=0))
    length = segment or -(-longest // granule) * granule
    if not length:
        # Nothing is kept, and there is one segment of it.
        return np.zeros(0, np.uint8), np.ones(strips * group, np.float16)
    per_row = -(-longest // length)
    width = per_row * length
    block = np.zeros((strips, group, width), np.float32)
    if kept is None:
        block[:, :, :columns] = rows
    else:
        order = np.argsort(~kept, axis=1, kind="stable")[:, :longest]
        taken = np.take_along_axis(rows, order[:, None, :], axis=2)
        taken[np.broadcast_to(np.arange(longest) >= counts[:, None, None], taken.shape)] = 0
        block[:, :, :longest] = taken
    integers, scales = quantise(block.reshape(-1, length), dtype)
    scales = scales.reshape(strips, group, per_row).transpose(0, 2, 1)
    used = np.arange(per_row) < segments_of(counts, segment)[:, None]
    tiles = integers.reshape(strips, group, width // granule, granule).transpose(0, 2, 1, 3)
    stored = np.arange(width // granule) < -(-counts.astype(np.int64) // granule)[:, None]
    return _encode(tiles[stored], dtype), scales[used].reshape(-1)


def _encode(granules: npt.NDArray[np.int8], dtype: DType) -> npt.NDArray[np.uint8]:
    """Return the bytes of granules, shape (granules, group, columns of a granule)."""
    if dtype is DType.S8:
        return np.ascontiguousarray(granules).view(np.uint8).reshape(-1)
    if dtype is DType.TERNARY:
        codes = (granules + 1).astype(np.uint8) << np.arange(0, 8, 2, dtype=np.uint8)
        return np.asarray(codes.sum(axis=2, dtype=np.uint8), np.uint8).reshape(-1)
    codes = (granules + 8).astype(np.uint8)
    return np.ascontiguousarray(codes[..., :4] | codes[..., 4:] << 4).reshape(-1)


def _decode(data: npt.NDArray[np.uint8], group: int, dtype: DType) -> npt.NDArray[np.int8]:
    """Return granules, shape (granules, group, columns of a granule)."""
    if dtype is DType.S8:
        return data.view(np.int8).reshape(-1, group, TILE_COLUMNS)
    if dtype is DType.TERNARY:
        codes = data.reshape(-1, group, 1) >> np.arange(0, 8, 2, dtype=np.uint8) & 3
        return codes.astype(np.int8) - np.int8(1)
    pairs = data.reshape(-1, group, TILE_COLUMNS)
    return np.concatenate([pairs & 15, pairs >> 4], axis=2).astype(np.int8) - np.int8(8)


def unpack_integers(
    data: npt.NDArray[np.generic],
    scales: npt.NDArray[np.float16],
    bands: tuple[Band, ...],
    counts: Counts,
    segment: int,
    dtype: DType,
) -> npt.NDArray[np.float32]:
    """Return the kept weights as floats, strip after strip, each kept column's group together."""
    packed: npt.NDArray[np.uint8] = data.view(np.uint8)
    granule = TILE_GRANULE[dtype]
    result = [np.zeros(0, np.float32)]
    at = scale_at = strip = 0
    for band in bands:
        own = counts[strip : strip + band.strips].astype(np.int64)
        granules, parts = -(-own // granule), segments_of(counts[strip : strip + band.strips], segment)
        size = int(granules.sum()) * band.group * _ROW_BYTES[dtype]
        integers = _decode(packed[at : at + size], band.group, dtype).transpose(0, 2, 1).reshape(-1, band.group)
        # Columns of every strip, padding included, and which of them are real.
        stored = granules * granule
        position = np.arange(int(stored.sum())) - np.repeat(np.cumsum(stored) - stored, stored)
        real = position < np.repeat(own, stored)
        number = np.repeat(np.cumsum(parts) - parts, stored) + (position // segment if segment else 0)
        own_scales = scales[scale_at : scale_at + int(parts.sum()) * band.group].reshape(-1, band.group)
        block = integers[real] * own_scales[number[real]].astype(np.float32)
        result.append(block.reshape(-1))
        at, strip = at + size, strip + band.strips
        scale_at += own_scales.size
    return np.concatenate(result)

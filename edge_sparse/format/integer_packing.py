"""Integer weights as tiles: S8, S4 and TERNARY values of a group-sparse matrix, with float16 scales.

The kept columns of a strip are cut by segment of the dense columns, each segment is padded to whole tiles of 4 columns
(with value 0), and a tile of G rows x 4 columns is stored row after row. S8: 4 bytes per row. TERNARY: one byte per
row, column c in bits 2c and 2c+1 as value + 1. S4: two tiles share their bytes, the first in the low nibble, value + 8;
a segment with an odd number of tiles gets one of zeros.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from edge_sparse.plan import Band, DType

__all__ = ["INTEGER_LIMIT", "TILE_COLUMNS", "pack_integers", "packed_bytes", "segments_of", "unpack_integers"]

TILE_COLUMNS = 4
#: Largest magnitude of a stored integer.
INTEGER_LIMIT = {DType.S8: 127, DType.S4: 7, DType.TERNARY: 1}


def segments_of(columns: int, segment: int) -> int:
    """Return the number of scale segments of a row; ``segment`` 0 means one."""
    return -(-columns // segment) if segment else 1


def _tiles(count: int, dtype: DType) -> int:
    tiles = -(-count // TILE_COLUMNS)
    return tiles + tiles % 2 if dtype is DType.S4 else tiles


def _tile_bytes(group: int, dtype: DType) -> int:
    return {DType.S8: 4 * group, DType.S4: 2 * group, DType.TERNARY: group}[dtype]


def _parts(
    bands: tuple[Band, ...], counts: npt.NDArray[np.uint32], indices: npt.NDArray[np.uint32], columns: int, segment: int
) -> Iterator[tuple[int, int, int, slice]]:
    """Yield (group, strip, segment, kept columns as a slice of ``indices``) in storage order."""
    starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    width = segment or columns
    strip = 0
    for band in bands:
        for _ in range(band.strips):
            kept = indices[starts[strip] : starts[strip + 1]]
            marks = np.searchsorted(kept, np.arange(segments_of(columns, segment) + 1) * width) + starts[strip]
            for part in range(len(marks) - 1):
                yield band.group, strip, part, slice(int(marks[part]), int(marks[part + 1]))
            strip += 1


def packed_bytes(
    bands: tuple[Band, ...],
    counts: npt.NDArray[np.uint32],
    indices: npt.NDArray[np.uint32],
    columns: int,
    segment: int,
    dtype: DType,
) -> int:
    """Return the bytes that the values take."""
    parts = segments_of(columns, segment)
    strips = np.repeat(np.arange(counts.size), counts)
    kept = np.bincount(strips * parts + indices // (segment or columns), minlength=counts.size * parts)
    tiles = -(-kept // TILE_COLUMNS)
    tiles += tiles % 2 if dtype is DType.S4 else 0
    tile_bytes = [np.full(band.strips, _tile_bytes(band.group, dtype), np.int64) for band in bands]
    return int((tiles.reshape(counts.size, parts).sum(axis=1) * np.concatenate(tile_bytes)).sum())


def pack_integers(
    weights: npt.NDArray[np.float32],
    bands: tuple[Band, ...],
    counts: npt.NDArray[np.uint32],
    indices: npt.NDArray[np.uint32],
    segment: int,
    dtype: DType,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float16]]:
    """Quantise the kept columns of a dense matrix symmetrically; returns the packed values and the scales."""
    limit = INTEGER_LIMIT[dtype]
    blocks, scales = [], []
    first_rows = np.concatenate([band.first_row + np.arange(band.strips) * band.group for band in bands])
    for group, strip, _, kept in _parts(bands, counts, indices, weights.shape[1], segment):
        block = weights[first_rows[strip] : first_rows[strip] + group, indices[kept]]
        largest = np.abs(block).max(axis=1, initial=0.0)
        scale = np.where(largest > 0, largest / limit, 1.0).astype(np.float16)
        scale = np.where(scale > 0, scale, np.float16(6e-8))
        integers = np.clip(np.rint(block / scale[:, None].astype(np.float32)), -limit, limit).astype(np.int8)
        padded = np.zeros((group, _tiles(block.shape[1], dtype) * TILE_COLUMNS), np.int8)
        padded[:, : block.shape[1]] = integers
        blocks.append(_encode(padded, dtype))
        scales.append(scale)
    empty = np.zeros(0, np.uint8)
    return np.concatenate([empty, *blocks]), np.concatenate([np.zeros(0, np.float16), *scales])


def _encode(integers: npt.NDArray[np.int8], dtype: DType) -> npt.NDArray[np.uint8]:
    group = integers.shape[0]
    tiles = integers.reshape(group, -1, TILE_COLUMNS).transpose(1, 0, 2)
    if dtype is DType.S8:
        return np.ascontiguousarray(tiles).view(np.uint8).reshape(-1)
    if dtype is DType.TERNARY:
        codes = (tiles + 1).astype(np.uint8)
        shifted = codes << np.arange(0, 8, 2, dtype=np.uint8)
        return np.asarray(shifted.sum(axis=2, dtype=np.uint8), np.uint8).reshape(-1)
    codes = (tiles + 8).astype(np.uint8)
    return np.ascontiguousarray(codes[0::2] | codes[1::2] << 4).reshape(-1)


def _decode(data: npt.NDArray[np.uint8], group: int, dtype: DType) -> npt.NDArray[np.int8]:
    if dtype is DType.S8:
        tiles = data.view(np.int8).reshape(-1, group, TILE_COLUMNS)
    elif dtype is DType.TERNARY:
        codes = data.reshape(-1, group, 1) >> np.arange(0, 8, 2, dtype=np.uint8) & 3
        tiles = codes.astype(np.int8) - np.int8(1)
    else:
        pairs = data.reshape(-1, group, TILE_COLUMNS)
        tiles = np.empty((2 * len(pairs), group, TILE_COLUMNS), np.int8)
        tiles[0::2], tiles[1::2] = pairs & 15, pairs >> 4
        tiles -= 8
    return tiles.transpose(1, 0, 2).reshape(group, -1)


def unpack_integers(
    data: npt.NDArray[np.generic],
    scales: npt.NDArray[np.float16],
    bands: tuple[Band, ...],
    counts: npt.NDArray[np.uint32],
    indices: npt.NDArray[np.uint32],
    columns: int,
    segment: int,
    dtype: DType,
) -> npt.NDArray[np.float32]:
    """Return the kept weights as floats, strip after strip, each kept column's group together."""
    values = np.empty(int(sum(b.group * counts[s] for b, s in _strip_bands(bands))), np.float32)
    packed: npt.NDArray[np.uint8] = data.view(np.uint8)
    starts = np.concatenate([[0], np.cumsum([b.group * int(counts[s]) for b, s in _strip_bands(bands)])])
    column_starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    at = scale_at = 0
    for group, strip, _, kept in _parts(bands, counts, indices, columns, segment):
        count = kept.stop - kept.start
        size = _tiles(count, dtype) * _tile_bytes(group, dtype)
        scale = scales[scale_at : scale_at + group].astype(np.float32)
        block = _decode(packed[at : at + size], group, dtype)[:, :count] * scale[:, None]
        first = int(starts[strip]) + (kept.start - int(column_starts[strip])) * group
        values[first : first + count * group] = block.T.reshape(-1)
        at += size
        scale_at += group
    return values


def _strip_bands(bands: tuple[Band, ...]) -> Iterator[tuple[Band, int]]:
    strip = 0
    for band in bands:
        for _ in range(band.strips):
            yield band, strip
            strip += 1

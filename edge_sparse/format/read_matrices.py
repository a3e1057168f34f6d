"""Matrix records: bands, kept columns and values, every length checked before anything is decoded."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import FileFormatError
from edge_sparse.format.column_index import decode_columns
from edge_sparse.format.container import Container
from edge_sparse.format.integer_packing import TILE_GRANULE, packed_bytes, segments_of
from edge_sparse.format.packing import GROUPS
from edge_sparse.format.spec import MATRIX_LIMIT, NONE, SHARED_BYTES, SHARED_TIMES, IndexEncoding, Section
from edge_sparse.plan import Band, DType, SparseMatrix

__all__ = ["read_matrices"]

_AGAIN = "convert the model again"
#: Values of one group in one kept column take at least this many bytes per row, times four.
_QUARTERS = {DType.F32: 16, DType.F16: 8, DType.S8: 4, DType.S4: 2, DType.TERNARY: 1}


def read_matrices(container: Container) -> tuple[SparseMatrix, ...]:
    """Return all matrices; counts, columns and scales are copies, values stay in the file.

    Raises
    ------
    FileFormatError
        ``MATRIX_*``, ``INDEX_*``, ``BLOB_NUMBER``, ``STRING_*``.
    """
    bands = container.records(Section.BANDS)
    band_rows = list(zip(*(bands[name].tolist() for name in ("first_row", "rows", "group")), strict=True))
    records = container.records(Section.MATRICES).tolist()
    first = 0
    for number, row in enumerate(records):
        first_band, count = row[3], row[4]
        if first_band != first or not 0 < count <= len(band_rows) - first:
            message = (
                f"matrix {number}: bands {first_band} to {first_band + count} are not the next of {len(band_rows)}"
            )
            raise FileFormatError("MATRIX_BANDS", message, _AGAIN)
        first += count
    if first != len(band_rows):
        raise FileFormatError("MATRIX_BANDS", f"{len(band_rows) - first} bands belong to no matrix", _AGAIN)
    read: dict[object, SparseMatrix] = {}
    named, limit = 0, SHARED_TIMES * container.blobs.data.size + SHARED_BYTES
    result = []
    for number, row in enumerate(records):
        own_bands = tuple(band_rows[row[3] : row[3] + row[4]])
        # All but the name and the place of the bands.
        content = (row[1], row[2], own_bands, *row[5:])
        if content not in read:
            # Blobs that many records share could make a small file name any number of bytes.
            named += sum(container.blobs.get(blob, f"matrix {number}").size for blob in row[-4:])
            if named > limit:
                raise _fail("MATRIX_SHARED", str(number), f"matrices name {named} bytes of blobs, at most {limit}")
            read[content] = _matrix(container, number, row, own_bands)
        result.append(dataclasses.replace(read[content], name=container.strings.get(row[0])))
    return tuple(result)


def _fail(code: str, name: str, problem: str) -> FileFormatError:
    return FileFormatError(code, f"matrix {name}: {problem}", _AGAIN)


def _matrix(container: Container, number: int, row: Sequence[Any], band_rows: Sequence[Any]) -> SparseMatrix:
    place, rows, columns, _, _, dtype, index, _, segment, counts_blob, index_blob, values_blob, scales_blob = row
    name = container.strings.get(place)
    label = f"{number} ({name})"
    if not rows or not columns or rows * columns > MATRIX_LIMIT:
        raise _fail("MATRIX_SIZE", label, f"{rows} rows x {columns} columns are none or too many")
    bands = _bands(label, rows, band_rows)
    if dtype not in (DType.F32, DType.F16, *TILE_GRANULE):
        raise _fail("MATRIX_DTYPE", label, f"value type {dtype} is unknown")
    dtype = DType(dtype)
    granule = TILE_GRANULE.get(dtype, 0)
    if segment and (not granule or segment % granule or segment >= columns + granule):
        raise _fail("MATRIX_SEGMENT", label, f"segments of {segment} columns for {dtype.name} values")
    if index not in IndexEncoding.__members__.values():
        raise _fail("MATRIX_INDEX", label, f"index encoding {index} is unknown")
    strips = sum(band.strips for band in bands)
    values = container.blobs.get(values_blob, f"matrix {label}")
    dense = index == IndexEncoding.DENSE
    if dense:
        if counts_blob != NONE:
            raise _fail("MATRIX_COUNTS", label, "a dense matrix has no counts")
        _check_values_bound(label, rows * columns, dtype, values.size)
        counts = np.full(strips, columns, np.uint32)
    else:
        counts = _counts(label, container.blobs.get(counts_blob, f"matrix {label}"), strips, columns)
        kept = sum(band.group * int(part.sum(dtype=np.int64)) for band, part in _by_band(bands, counts))
        _check_values_bound(label, kept, dtype, values.size)
    kept_columns = decode_columns(
        IndexEncoding(index), counts, container.blobs.get(index_blob, f"matrix {label}"), columns, label
    )
    if dtype not in TILE_GRANULE:
        if scales_blob != NONE:
            raise _fail("MATRIX_SCALES", label, "float values have no scales")
        return SparseMatrix(name, rows, columns, bands, counts, kept_columns, dtype, values.view(dtype.numpy))
    groups = np.concatenate([np.full(band.strips, band.group, np.int64) for band in bands])
    scale_count = int((segments_of(counts, segment) * groups).sum())
    scales = _scales(label, container.blobs.get(scales_blob, f"matrix {label}"), scale_count)
    size = packed_bytes(bands, counts, dtype)
    if values.size != size:
        raise _fail("MATRIX_VALUES", label, f"its values have {values.size} bytes instead of {size}")
    return SparseMatrix(name, rows, columns, bands, counts, kept_columns, dtype, values, segment, scales)


def _bands(label: str, rows: int, band_rows: Sequence[Any]) -> tuple[Band, ...]:
    expected = 0
    for first_row, count, group in band_rows:
        if first_row != expected or group not in GROUPS or not count or count % group:
            raise _fail("MATRIX_BANDS", label, f"a band of {count} rows from {first_row} in groups of {group}")
        expected += count
    if expected != rows:
        raise _fail("MATRIX_BANDS", label, f"its bands cover {expected} of {rows} rows")
    return tuple(Band(*row) for row in band_rows)


def _by_band(bands: Sequence[Band], counts: npt.NDArray[np.uint32]) -> list[tuple[Band, npt.NDArray[np.uint32]]]:
    result, strip = [], 0
    for band in bands:
        result.append((band, counts[strip : strip + band.strips]))
        strip += band.strips
    return result


def _check_values_bound(label: str, kept: int, dtype: DType, size: int) -> None:
    """Check the values' bytes, exactly for floats, before anything as large as the index is allocated."""
    needed = kept * _QUARTERS[dtype] // 4
    if size < needed or (dtype not in TILE_GRANULE and size != needed):
        raise _fail("MATRIX_VALUES", label, f"its values have {size} bytes, {kept} kept weights need {needed}")


def _counts(label: str, data: npt.NDArray[np.uint8], strips: int, columns: int) -> npt.NDArray[np.uint32]:
    if data.size != 4 * strips:
        raise _fail("MATRIX_COUNTS", label, f"its counts have {data.size} bytes for {strips} strips")
    counts = data.view("<u4").astype(np.uint32)
    if counts.max(initial=0) > columns:
        raise _fail("MATRIX_COUNTS", label, f"a strip keeps {counts.max()} of {columns} columns")
    return counts


def _scales(label: str, data: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.float16]:
    if data.size != 2 * count:
        raise _fail("MATRIX_SCALES", label, f"its scales have {data.size} bytes instead of {2 * count}")
    # Not copied: a map that changes could make a weight infinite, not a kernel leave its memory.
    scales: npt.NDArray[np.float16] = data.view("<f2")
    # The exponent bits are all ones in infinities and what is no number.
    if ((data.view("<u2") & 0x7C00) == 0x7C00).any():
        raise _fail("MATRIX_SCALES", label, "a scale is not a finite number")
    return scales

"""The kept columns of a matrix as bytes: a bitmap per strip, or gaps of one byte each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import FileFormatError
from edge_sparse.format.spec import IndexEncoding

__all__ = ["decode_columns", "encode_columns"]

_AGAIN = "convert the model again"
#: A gap byte of this value means "255 columns further, and another byte follows".
ESCAPE = 255


def encode_columns(
    counts: npt.NDArray[np.uint32], indices: npt.NDArray[np.uint32], columns: int
) -> tuple[IndexEncoding, bytes]:
    """Return the smallest encoding and its bytes."""
    if (counts == columns).all():
        return IndexEncoding.DENSE, b""
    bitmap = _bitmap(counts, indices, columns)
    gaps = _gaps(counts, indices)
    return (IndexEncoding.DELTA, gaps) if len(gaps) < len(bitmap) else (IndexEncoding.BITMAP, bitmap)


def _bitmap(counts: npt.NDArray[np.uint32], indices: npt.NDArray[np.uint32], columns: int) -> bytes:
    kept = np.zeros((counts.size, columns), np.bool_)
    kept[np.repeat(np.arange(counts.size), counts), indices] = True
    return np.packbits(kept, axis=1, bitorder="little").tobytes()


def _gaps(counts: npt.NDArray[np.uint32], indices: npt.NDArray[np.uint32]) -> bytes:
    previous = np.empty(indices.size, np.int64)
    previous[1:] = indices[:-1]
    first = (np.cumsum(counts, dtype=np.int64) - counts)[counts > 0]
    previous[first] = -1
    gaps = indices.astype(np.int64) - previous - 1
    escapes, rests = np.divmod(gaps, ESCAPE)
    stream = np.full(int(escapes.sum()) + gaps.size, ESCAPE, np.uint8)
    stream[np.cumsum(escapes + 1) - 1] = rests
    return stream.tobytes()


def decode_columns(
    encoding: IndexEncoding, counts: npt.NDArray[np.uint32], data: npt.NDArray[np.uint8], columns: int, name: str
) -> npt.NDArray[np.uint32]:
    """Return the kept columns of all strips, strictly increasing inside each, below ``columns``.

    Raises
    ------
    FileFormatError
        ``INDEX_*``: the bytes do not say exactly that many columns in range.
    """
    if encoding is IndexEncoding.DENSE:
        if (counts != columns).any() or data.size:
            raise FileFormatError("INDEX_DENSE", f"matrix {name} is dense but does not keep every column", _AGAIN)
        return np.tile(np.arange(columns, dtype=np.uint32), counts.size)
    if encoding is IndexEncoding.BITMAP:
        return _decode_bitmap(counts, data, columns, name)
    return _decode_gaps(counts, data, columns, name)


def _decode_bitmap(
    counts: npt.NDArray[np.uint32], data: npt.NDArray[np.uint8], columns: int, name: str
) -> npt.NDArray[np.uint32]:
    width = -(-columns // 8)
    if data.size != counts.size * width:
        raise FileFormatError("INDEX_LENGTH", f"the bitmap of matrix {name} has {data.size} bytes", _AGAIN)
    bits = np.unpackbits(data.reshape(counts.size, width), axis=1, bitorder="little")
    if bits[:, columns:].any():
        raise FileFormatError("INDEX_RANGE", f"the bitmap of matrix {name} names columns beyond {columns}", _AGAIN)
    if (bits.sum(axis=1, dtype=np.int64) != counts).any():
        raise FileFormatError("INDEX_COUNT", f"the bitmap of matrix {name} disagrees with its counts", _AGAIN)
    return np.nonzero(bits)[1].astype(np.uint32)


def _decode_gaps(
    counts: npt.NDArray[np.uint32], data: npt.NDArray[np.uint8], columns: int, name: str
) -> npt.NDArray[np.uint32]:
    ends = np.nonzero(data != ESCAPE)[0]
    total = int(counts.sum(dtype=np.int64))
    if ends.size != total or (data.size and data[-1] == ESCAPE):
        raise FileFormatError(
            "INDEX_COUNT", f"matrix {name} keeps {total} columns, its index lists {ends.size}", _AGAIN
        )
    if not total:
        return np.zeros(0, np.uint32)
    sums = np.cumsum(data, dtype=np.int64)[ends]
    steps = np.diff(sums, prepend=0) + 1
    running = np.cumsum(steps)
    first = np.cumsum(counts, dtype=np.int64) - counts
    base = np.concatenate([[0], running])[first]
    result = running - np.repeat(base, counts) - 1
    if (result >= columns).any():
        raise FileFormatError("INDEX_RANGE", f"matrix {name} names columns beyond {columns}", _AGAIN)
    return np.asarray(result, np.uint32)

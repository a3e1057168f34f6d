"""The kept columns of a matrix as bytes: a bitmap per strip, or gaps of one byte each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import FileFormatError
from edge_sparse.format.spec import IndexEncoding
from edge_sparse.plan import SparseMatrix

__all__ = ["bitmap_of", "decode_columns", "encode_columns"]

_AGAIN = "convert the model again"
#: A gap byte of this value means "255 columns further, and another byte follows".
ESCAPE = 255

Counts = npt.NDArray[np.uint32]
Kept = npt.NDArray[np.uint8] | npt.NDArray[np.uint32] | None


def encode_columns(matrix: SparseMatrix) -> tuple[IndexEncoding, bytes]:
    """Return the smallest encoding and its bytes."""
    if (matrix.counts == matrix.columns).all():
        return IndexEncoding.DENSE, b""
    width = -(-matrix.columns // 8)
    # A gap takes at least one byte.
    if int(matrix.counts.sum(dtype=np.int64)) < matrix.counts.size * width:
        gaps = _gaps(matrix.counts, matrix.indices)
        if len(gaps) < matrix.counts.size * width:
            return IndexEncoding.DELTA, gaps
    return IndexEncoding.BITMAP, bitmap_of(matrix).tobytes()


def bitmap_of(matrix: SparseMatrix) -> npt.NDArray[np.uint8]:
    """Return which columns are kept as bits, shape (strips, ceil(columns / 8)), least significant first."""
    if matrix.kept is not None and matrix.kept.ndim == 2:
        return matrix.kept.astype(np.uint8, copy=False)
    bits = np.zeros((matrix.counts.size, matrix.columns), np.bool_)
    bits[np.repeat(np.arange(matrix.counts.size), matrix.counts), matrix.indices] = True
    return np.packbits(bits, axis=1, bitorder="little")


def _gaps(counts: Counts, indices: npt.NDArray[np.uint32]) -> bytes:
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
    encoding: IndexEncoding, counts: Counts, data: npt.NDArray[np.uint8], columns: int, name: str
) -> Kept:
    """Return a copy of the index in the form that ``SparseMatrix.kept`` has, in no more than four times its bytes.

    Raises
    ------
    FileFormatError
        ``INDEX_*``: the bytes do not say exactly that many columns in range.
    """
    if encoding is IndexEncoding.DENSE:
        if (counts != columns).any() or data.size:
            raise FileFormatError("INDEX_DENSE", f"matrix {name} is dense but does not keep every column", _AGAIN)
        return None
    if encoding is IndexEncoding.BITMAP:
        return _decode_bitmap(counts, data, columns, name)
    return _decode_gaps(counts, data, columns, name)


def _decode_bitmap(counts: Counts, data: npt.NDArray[np.uint8], columns: int, name: str) -> npt.NDArray[np.uint8]:
    width = -(-columns // 8)
    if data.size != counts.size * width:
        raise FileFormatError("INDEX_LENGTH", f"the bitmap of matrix {name} has {data.size} bytes", _AGAIN)
    # A copy, since a map can change after it was checked.
    bitmap = np.array(data).reshape(counts.size, width)
    if columns % 8 and (bitmap[:, -1] >> (columns % 8)).any():
        raise FileFormatError("INDEX_RANGE", f"the bitmap of matrix {name} names columns beyond {columns}", _AGAIN)
    if (_BITS[bitmap].sum(axis=1, dtype=np.int64) != counts).any():
        raise FileFormatError("INDEX_COUNT", f"the bitmap of matrix {name} disagrees with its counts", _AGAIN)
    return bitmap


#: Bits that are set in every byte.
_BITS = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)


def _decode_gaps(counts: Counts, data: npt.NDArray[np.uint8], columns: int, name: str) -> npt.NDArray[np.uint32]:
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

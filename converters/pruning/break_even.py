"""When the sparse form of a matrix is smaller than the dense one; speed is measured, not computed."""

from __future__ import annotations

from edge_sparse.format.packing import bands_of

__all__ = ["break_even_density", "index_bytes"]


def index_bytes(rows: int, columns: int, group: int) -> int:
    """Return the bytes that say which columns are kept: per strip one bit per column and a 32-bit count."""
    strips = sum(band.strips for band in bands_of(rows, group))
    return strips * (-(-columns // 8) + 4)


def break_even_density(rows: int, columns: int, group: int, value_bytes: float = 4) -> float:
    """Return the density at which sparse and dense forms take the same bytes; below it, sparse is smaller.

    Dense takes ``rows * columns * value_bytes``; sparse takes that times the density, plus ``index_bytes``. The result
    is 0 where the index alone is larger than the dense form.

    Parameters
    ----------
    rows, columns, group : int
        Shape of the matrix and rows per group.
    value_bytes : float
        4 for float32, 2 for float16, 0.5 for 4-bit values.
    """
    dense = rows * columns * value_bytes
    return max(0.0, 1 - index_bytes(rows, columns, group) / dense) if dense else 0.0

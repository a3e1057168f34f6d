"""When the sparse form of a matrix is smaller than the dense one, and from measured times, when it is faster."""

from __future__ import annotations

from collections.abc import Mapping

from edge_sparse.errors import PruningError
from edge_sparse.format.packing import bands_of

__all__ = ["break_even_density", "break_even_density_by_time", "index_bytes"]


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


def break_even_density_by_time(dense_milliseconds: float, sparse_milliseconds: Mapping[float, float]) -> float:
    """Return the density at which a layer takes as long sparse as dense; below it, sparse is faster.

    Times between two measured densities lie on a line. The result is 0 where sparse is slower at the lowest density,
    and the highest measured density where sparse is always faster: nothing is known beyond it.

    Parameters
    ----------
    dense_milliseconds : float
        Time of the dense layer.
    sparse_milliseconds : mapping of float to float
        From density to time of the sparse layer, at least one.

    Raises
    ------
    PruningError
        ``TIMES_MISSING``: no sparse times, or a time that is not positive.
    """
    times = sorted(sparse_milliseconds.items())
    if not times or min(dense_milliseconds, *sparse_milliseconds.values()) <= 0:
        raise PruningError("TIMES_MISSING", "times must be positive, one of them sparse", "measure the layer first")
    below = None
    for density, time in times:
        if time >= dense_milliseconds:
            if below is None:
                return 0.0
            return below[0] + (density - below[0]) * (dense_milliseconds - below[1]) / (time - below[1])
        below = (density, time)
    return times[-1][0]

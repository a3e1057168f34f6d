"""Quantisation of rows: integers and the float16 scale of least squared error."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_sparse.plan import DType

__all__ = ["INTEGER_RANGE", "quantise"]

#: Smallest and largest stored integer.
INTEGER_RANGE = {DType.S8: (-127, 127), DType.S4: (-8, 7), DType.TERNARY: (-1, 1)}
#: Scales that are tried, as shares of the one that maps the largest weight to the end of the range. Eight of them bring
#: the squared error of Gaussian weights to 0.0066 of their energy with 32 weights a scale; one alone to 0.0074.
_SHARES = {
    DType.S8: (1.0,),
    DType.S4: (0.80, 0.86, 0.91, 0.95, 1.0, 1.06, 1.13, 1.22),
    DType.TERNARY: (0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1.0),
}


def quantise(rows: npt.NDArray[np.float32], dtype: DType) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float16]]:
    """Return integers of the same shape and one scale per row.

    For every scale tried, the integers are rounded and the best scale for these integers is the least-squares one,
    sum(q w) / sum(q q), which explains sum(q w)^2 / sum(q q) of the row's energy; the most is taken.

    Parameters
    ----------
    rows : ndarray of float32, shape (rows, weights)
        A row of zeros gets scale 1.
    """
    low, high = INTEGER_RANGE[dtype]
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1)[:, None], axis=1)[:, 0]
    # The range of S4 reaches further below zero: the largest weight goes there, whatever its sign.
    full = largest / np.float32(low) if dtype is DType.S4 else np.abs(largest) / np.float32(high)
    best = np.full(len(rows), -1, np.float32)
    integers = np.zeros(rows.shape, np.int8)
    scales = np.ones(len(rows), np.float32)
    for share in _SHARES[dtype]:
        step = full * np.float32(share)
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.where(step != 0, 1 / step, 0).astype(np.float32)
        inverse[~np.isfinite(inverse)] = 0
        q = np.clip(np.rint(rows * inverse[:, None]), low, high)
        product, energy = np.einsum("ij,ij->i", q, rows), np.einsum("ij,ij->i", q, q)
        scale = np.where(energy > 0, product / np.maximum(energy, 1), 1).astype(np.float32)
        explained = product * scale
        better = explained > best
        best[better], scales[better], integers[better] = explained[better], scale[better], q[better].astype(np.int8)
    rounded = np.clip(scales, -65504, 65504).astype(np.float16)
    # A scale that rounds to zero would drop the row.
    tiny = (rounded == 0) & (scales != 0)
    rounded[tiny] = np.copysign(np.float16(6e-8), scales[tiny])
    return integers, rounded

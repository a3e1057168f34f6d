"""Groups of a weight matrix: how important each is, which to keep, and which groups existing zeros form.

A group is ``group`` consecutive rows of one column. Rows are cut into bands exactly as the file format packs them, so
a mask made here is stored without filling a single zero back in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import PruningError
from edge_sparse.format.packing import bands_of

__all__ = [
    "as_matrices",
    "as_weight",
    "expand_groups",
    "group_density",
    "group_mask",
    "group_scores",
    "group_sizes",
    "keep_balanced",
    "keep_best",
    "widest_group",
]

Norm = Literal["l1", "l2"]

#: Share of the zeros of single weights that a wider group must still skip to be chosen by ``widest_group``.
FILL = 0.95


def as_matrices(weight: npt.NDArray[np.floating], groups: int = 1) -> npt.NDArray[np.floating]:
    """View a weight (O, I, KH, KW) or (M, K) as ``[groups, rows, columns]`` with columns (kh, kw, ic).

    ``groups`` is the group count of a grouped convolution: each of its parts is a matrix of its own.
    """
    if weight.ndim == 4:
        weight = weight.transpose(0, 2, 3, 1)
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def as_weight(matrices: npt.NDArray[np.generic], shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """Undo ``as_matrices``: return an array of the weight's ``shape``."""
    if len(shape) == 4:
        out_channels, in_channels, height, width = shape
        return np.ascontiguousarray(matrices.reshape(out_channels, height, width, in_channels).transpose(0, 3, 1, 2))
    return matrices.reshape(shape)


def _strip_starts(rows: int, group: int) -> npt.NDArray[np.int64]:
    bands = bands_of(rows, group)
    return np.concatenate(
        [np.arange(band.first_row, band.first_row + band.rows, band.group) for band in bands] or [np.zeros(0, int)]
    )


def _strip_rows(rows: int, group: int) -> npt.NDArray[np.int64]:
    return np.diff(_strip_starts(rows, group), append=rows)


def group_sizes(rows: int, columns: int, group: int, taps: int = 1) -> npt.NDArray[np.int64]:
    """Return the weights in every group, shape (strips, columns // taps)."""
    return np.repeat(_strip_rows(rows, group)[:, None] * taps, columns // taps, axis=1)


def group_scores(
    matrix: npt.NDArray[np.floating], group: int, norm: Norm = "l1", taps: int = 1
) -> npt.NDArray[np.float64]:
    """Return the importance of every group, shape (strips, columns // taps).

    The score is per weight, so the smaller groups at the tail of the rows compete fairly: the mean of ``|w|`` (l1) or
    the root of the mean square (l2).

    Parameters
    ----------
    matrix : ndarray, shape (rows, columns)
        Columns are (kh, kw, ic), ic fastest.
    group : int
        Rows per group.
    taps : int
        1 scores every column alone; KH * KW takes all taps of an input channel together ("kernel" pattern).
    """
    if norm not in ("l1", "l2"):
        raise PruningError("NORM_UNKNOWN", f"norm {norm!r} is neither l1 nor l2", "choose one of those")
    rows, columns = matrix.shape
    if rows == 0 or columns % taps:
        raise PruningError("WEIGHTS_SHAPE", f"a {rows} x {columns} matrix has no groups of {taps} taps", "check it")
    magnitude = np.abs(matrix) if norm == "l1" else np.square(matrix, dtype=np.float64)
    sums = np.add.reduceat(magnitude, _strip_starts(rows, group), axis=0, dtype=np.float64)
    means = sums.reshape(len(sums), taps, -1).sum(axis=1) / (_strip_rows(rows, group)[:, None] * taps)
    return means if norm == "l1" else np.sqrt(means)


def keep_best(scores: npt.NDArray[np.float64], sizes: npt.NDArray[np.int64], sparsity: float) -> npt.NDArray[np.bool_]:
    """Keep the groups with the highest scores; the dropped ones hold at most ``sparsity`` of all weights.

    Less than one group's weights are missing to that share. Equal scores are dropped in order of position, so the
    answer never depends on the machine.
    """
    return _without_first(np.argsort(scores, axis=None, kind="stable"), sizes, sparsity)


def keep_balanced(
    scores: npt.NDArray[np.float64], sizes: npt.NDArray[np.int64], sparsity: float
) -> npt.NDArray[np.bool_]:
    """Keep the groups with the highest scores of every strip; each strip drops as many, up to one.

    As much is dropped as by ``keep_best``: what the equal counts leave of ``sparsity`` goes to the strips whose next
    group has the lowest score. The last axis are the groups of a strip.
    """
    ranks = np.argsort(np.argsort(scores, axis=-1, kind="stable"), axis=-1, kind="stable")
    return _without_first(np.lexsort((scores.ravel(), ranks.ravel())), sizes, sparsity)


def _without_first(order: npt.NDArray[np.intp], sizes: npt.NDArray[np.int64], sparsity: float) -> npt.NDArray[np.bool_]:
    """Drop the first groups in ``order`` as long as they hold at most ``sparsity`` of all weights."""
    if not 0 <= sparsity < 1:
        raise PruningError("SPARSITY_RANGE", f"sparsity {sparsity} is not in [0, 1)", "give a share such as 0.8")
    # The small allowance undoes the rounding of products such as 0.7 * 10.
    budget = math.floor(sparsity * float(sizes.sum()) + 1e-6)
    dropped = np.searchsorted(np.cumsum(sizes.ravel()[order]), budget, side="right")
    keep = np.ones(sizes.size, np.bool_)
    keep[order[:dropped]] = False
    return keep.reshape(sizes.shape)


def expand_groups(keep: npt.NDArray[np.bool_], rows: int, group: int, taps: int = 1) -> npt.NDArray[np.bool_]:
    """Turn one flag per group into one flag per weight, shape (rows, columns)."""
    return np.tile(np.repeat(keep, _strip_rows(rows, group), axis=0), (1, taps))


def group_mask(
    matrix: npt.NDArray[np.floating], group: int, sparsity: float, norm: Norm = "l1", taps: int = 1
) -> npt.NDArray[np.bool_]:
    """Return which weights to keep (True) so that about ``sparsity`` of them, in whole groups, are dropped."""
    scores = group_scores(matrix, group, norm, taps)
    keep = keep_best(scores, group_sizes(*matrix.shape, group, taps), sparsity)
    return expand_groups(keep, matrix.shape[0], group, taps)


def group_density(matrix: npt.NDArray[np.floating], group: int) -> float:
    """Return the share of weights that must be stored when a group is kept as soon as one weight is not zero."""
    rows, columns = matrix.shape
    kept = np.logical_or.reduceat(matrix != 0, _strip_starts(rows, group), axis=0)
    return float((kept * _strip_rows(rows, group)[:, None]).sum() / max(1, rows * columns))


def widest_group(
    matrix: npt.NDArray[np.floating], candidates: Sequence[int] = (32, 16, 8, 4, 2, 1)
) -> tuple[int, float]:
    """Return the widest group that the existing zeros allow, and the density at that group.

    With d1 the density of single weights, a group is allowed when it stores at most ``d1 / 0.95`` weights and
    still skips 95 % of the zeros; one stray weight is forgiven. The first rule decides for sparse matrices (work grows
    by at most 5 %), the second for dense ones (few zeros must not get lost either).
    """
    single = group_density(matrix, 1)
    limit = min(single / FILL, 1 - FILL * (1 - single)) + 1 / max(1, matrix.size)
    for group in sorted(candidates, reverse=True):
        density = group_density(matrix, group)
        if density <= limit or group == 1:
            return group, density
    return 1, single

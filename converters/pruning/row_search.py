"""Search for an order of rows in which whole groups are important or unimportant.

A group is kept when its mean magnitude exceeds a threshold that follows from the sparsity: one of the layer, or, when
every strip drops the same share, one of each strip. With the thresholds t fixed, the kept magnitude is a constant plus
the sum over groups of ``max(group - t, 0)``. So exchanging two rows changes two strips only, and one row can be tried
against all others in a few array operations. Thresholds of strips move with their rows: those gains are upper bounds,
and the best exchanges are tried for real.

With one threshold, the search looks at every row relative to that row's own mean. Raw magnitudes would gather the rows
of small weights, and pruning would then empty whole output channels, which costs more accuracy than the kept magnitude
is worth. With a threshold for each strip no channel can be emptied, and raw magnitudes are what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.pruning.groups import group_sizes, keep_balanced, keep_best

from edge_sparse.format.packing import bands_of

__all__ = ["RowMatrix", "Window", "improve", "kept_share"]

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

#: A pair of rows is exchanged if that keeps at least this share more of the matrices' magnitude.
LEAST_GAIN = 1e-7
#: So many of the best exchanges of a row are tried.
CANDIDATES = 4
#: The search ends after a sweep that gained less than this share.
LEAST_PROGRESS = 1e-5


class RowMatrix:
    """Magnitudes of a weight matrix and the strips that its rows form.

    Parameters
    ----------
    name : str
        The layer.
    magnitudes : ndarray of float32, shape (rows, columns)
        Absolute weights; columns that are kept or dropped together are summed already. Rows are exchanged in place.
    group : int
        Rows per group.
    sparsity : float
        Share of weights to be dropped.
    balanced : bool
        Whether every strip drops the same share (scope "strip").
    """

    def __init__(self, name: str, magnitudes: Floats, group: int, sparsity: float, *, balanced: bool) -> None:
        self.name = name
        self.sparsity = sparsity
        self.balanced = balanced
        means = magnitudes.mean(axis=1, dtype=np.float64)
        if balanced:
            means[:] = means.mean()
        #: What the rows were divided by, and the rows; both sum to 1. Unless balanced, all rows have equal sums.
        self.scales = means / (means.sum() or 1.0)
        self.rows = (magnitudes / (np.where(means > 0, means, 1.0) * magnitudes.size)[:, None]).astype(np.float32)
        bands = bands_of(len(magnitudes), group)
        heights = np.concatenate([np.full(band.strips, band.group) for band in bands])
        self.starts = np.concatenate([[0], np.cumsum(heights)[:-1]])
        self.strip_of_row = np.repeat(np.arange(len(heights)), heights)
        self.heights = heights.astype(np.float32)
        self.sizes = group_sizes(magnitudes.shape[0], magnitudes.shape[1], group)

    def sums(self) -> Floats:
        """Return the magnitude of every group, shape (strips, columns)."""
        return np.add.reduceat(self.rows, self.starts, axis=0)

    def kept(self) -> tuple[float, Floats]:
        """Return the share of ``rows`` that is kept, and the threshold per row of every strip that decides it."""
        return self._kept(self.rows)

    def kept_magnitude(self) -> float:
        """Return the share of the layer's magnitude that pruning keeps."""
        return self._kept(self.rows * (self.scales * len(self.scales))[:, None])[0]

    def _kept(self, rows: npt.NDArray[np.floating]) -> tuple[float, Floats]:
        sums = np.add.reduceat(rows, self.starts, axis=0, dtype=np.float64)
        means = sums / self.heights[:, None]
        keep = (keep_balanced if self.balanced else keep_best)(means, self.sizes, self.sparsity)
        largest_dropped = np.where(keep, 0.0, means).max(axis=1)
        if not self.balanced:
            largest_dropped[:] = largest_dropped.max()
        return float(sums[keep].sum()), largest_dropped.astype(np.float32)

    def kept_of_strip(self, strip: int) -> tuple[float, float]:
        """Return what one strip keeps when it drops the same share as all, and its threshold per row."""
        start, height = int(self.starts[strip]), int(self.heights[strip])
        sums = self.rows[start : start + height].sum(axis=0)
        dropped = int(self.sparsity * len(sums) + 1e-6)
        sums = np.partition(sums, dropped)
        threshold = float(sums[:dropped].max(initial=0.0)) / height
        return float(sums[dropped:].sum(dtype=np.float64)), threshold


@dataclass
class Window:
    """A place where the searched rows lie in a matrix, and what the search keeps up to date about it."""

    matrix: RowMatrix
    start: int
    count: int
    #: Group sums minus threshold, shape (strips, columns); their positive part summed per strip.
    thresholds: Floats = field(init=False)
    excess: Floats = field(init=False)
    worth: Floats = field(init=False)
    #: The excess of each row's strip without that row, shape (count, columns).
    without: Floats = field(init=False)
    scratch: Floats = field(init=False)

    @property
    def rows(self) -> Floats:
        """The searched rows, a view."""
        return self.matrix.rows[self.start : self.start + self.count]

    @property
    def scales(self) -> npt.NDArray[np.float64]:
        """The scales of the searched rows, a view."""
        return self.matrix.scales[self.start : self.start + self.count]

    @property
    def strips(self) -> Indices:
        """The strip of every searched row."""
        return self.matrix.strip_of_row[self.start : self.start + self.count]

    def refresh(self) -> None:
        """Recompute thresholds and sums from the rows."""
        _, self.thresholds = self.matrix.kept()
        self.excess = self.matrix.sums() - (self.thresholds * self.matrix.heights)[:, None]
        self.worth = np.maximum(self.excess, 0).sum(axis=1)
        self.without = self.excess[self.strips] - self.rows
        self.scratch = np.empty_like(self.without)

    def gains(self, row: int) -> Floats:
        """Return how much more is kept when ``row`` changes places with every other row."""
        strips, strip, scratch = self.strips, self.strips[row], self.scratch
        ones = np.ones(scratch.shape[1], np.float32)
        # max(a + b, 0) = max(a, -b) + b takes one pass over the matrix instead of two.
        after = np.maximum(self.rows, -self.without[row], out=scratch) @ ones
        after += np.maximum(self.without, -self.rows[row], out=scratch) @ ones
        after += self.without[row].sum() + self.rows[row].sum() - self.worth[strip] - self.worth[strips]
        after[strips == strip] = 0
        return after

    def exchange(self, a: int, b: int) -> None:
        """Exchange two rows and update the two strips, their thresholds too if every strip has its own."""
        rows, strips = self.rows, self.strips
        difference = rows[b] - rows[a]
        self.excess[strips[a]] += difference
        self.excess[strips[b]] -= difference
        rows[[a, b]] = rows[[b, a]]
        self.scales[[a, b]] = self.scales[[b, a]]
        if self.matrix.balanced:
            for strip in {int(strips[a]), int(strips[b])}:
                _, threshold = self.matrix.kept_of_strip(strip)
                self.excess[strip] += (self.thresholds[strip] - threshold) * self.matrix.heights[strip]
                self.thresholds[strip] = threshold
        touched = (strips == strips[a]) | (strips == strips[b])
        self.without[touched] = self.excess[strips[touched]] - rows[touched]
        for strip in (strips[a], strips[b]):
            self.worth[strip] = np.maximum(self.excess[strip], 0).sum()

    def kept_around(self, a: int, b: int) -> float:
        """Return what the strips of two rows keep, exactly, when every strip drops the same share."""
        return sum(self.matrix.kept_of_strip(strip)[0] for strip in {int(self.strips[a]), int(self.strips[b])})


def kept_share(windows: Sequence[Window]) -> float:
    """Return the mean share of their magnitudes that the matrices keep when pruned, each matrix once."""
    matrices = {id(window.matrix): window.matrix for window in windows}
    return sum(matrix.kept_magnitude() for matrix in matrices.values()) / len(matrices)


def _score(windows: Sequence[Window], least: float) -> float:
    """Return what the search maximises; an order in which pruning keeps less than ``least`` is out of the question."""
    if kept_share(windows) < least:
        return 0.0
    matrices = {id(window.matrix): window.matrix for window in windows}
    return sum(matrix.kept()[0] for matrix in matrices.values()) / len(matrices)


def improve(
    windows: Sequence[Window], sweeps: float, random: np.random.Generator, report: Callable[[float], None]
) -> Indices:
    """Find a better order of the rows that all windows show, and leave the rows in it.

    Parameters
    ----------
    windows : sequence of Window
        At least one, all of the same ``count``.
    sweeps : float
        Work: one sweep tries every row against every other.
    random : numpy.random.Generator
        Decides in which order rows are tried.
    report : callable
        Called with the sweeps done so far.

    Returns
    -------
    ndarray of int, shape (count,)
        Index of the old row at every new place. The matrices together keep at least as much as in the old order.
    """
    count = windows[0].count
    order = best = np.arange(count)
    least = kept_share(windows)
    best_score = _score(windows, least)
    order = _put(windows, order, _by_agreement(windows))
    if (score := _score(windows, least)) > best_score:
        best, best_score = order, score
    done = 0.0
    while done < sweeps:
        visits = max(1, round(min(1.0, sweeps - done) * count))
        order, exchanges = _sweep(windows, order, random.permutation(count)[:visits])
        done += visits / count
        report(min(done, sweeps))
        gained = _score(windows, least) - best_score
        if gained > 0:
            best, best_score = order, best_score + gained
        if not exchanges or gained < LEAST_PROGRESS:
            break
    _put(windows, order, best)
    report(sweeps)
    return best


def _put(windows: Sequence[Window], order: Indices, wanted: Indices) -> Indices:
    """Bring rows that lie in ``order`` to the order ``wanted``."""
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    for window in windows:
        window.rows[:] = window.rows[place[wanted]]
        window.scales[:] = window.scales[place[wanted]]
    return wanted


def _by_agreement(windows: Sequence[Window]) -> Indices:
    """Fill strip after strip: the most important row left, then those whose large columns agree with it."""
    largest = max(windows, key=lambda window: window.rows.size)
    left = np.concatenate([window.rows for window in windows], axis=1)
    limits = np.concatenate([np.full(w.rows.shape[1], w.matrix.kept()[1].mean(), np.float32) for w in windows])
    importance = np.maximum(left - limits, 0).sum(axis=1)
    ones = np.ones_like(limits)
    names, order = np.arange(len(left)), []
    for height in np.unique(largest.strips, return_counts=True)[1]:
        total = np.zeros_like(limits)
        for member in range(int(height)):
            if member == 0:
                chosen = int(np.argmax(importance[: len(names)]))
            else:
                chosen = int(np.argmax(np.maximum(left[: len(names)], -total) @ ones))
            total += left[chosen] - limits if member else left[chosen] - 2 * limits
            order.append(names[chosen])
            # The last row takes the place of the one that left.
            for array in (left, importance, names):
                array[chosen] = array[len(names) - 1]
            names = names[:-1]
    return np.array(order)


def _sweep(windows: Sequence[Window], order: Indices, visits: Indices) -> tuple[Indices, int]:
    """Try each visited row against all others and make the best exchange; return the order and the exchanges."""
    order, exchanges = order.copy(), 0
    for window in windows:
        window.refresh()
    for row in visits:
        gains = sum(window.gains(int(row)) for window in windows)
        for other in np.argsort(-np.asarray(gains), kind="stable")[:CANDIDATES]:
            if np.asarray(gains)[other] <= LEAST_GAIN:
                break
            if _exchange(windows, int(row), int(other)):
                order[[row, other]] = order[[other, row]]
                exchanges += 1
                break
    return order, exchanges


def _exchange(windows: Sequence[Window], a: int, b: int) -> bool:
    """Exchange two rows, unless that gains nothing: gains at fixed thresholds of strips are upper bounds."""
    balanced = windows[0].matrix.balanced
    before = sum(window.kept_around(a, b) for window in windows) if balanced else 0.0
    for window in windows:
        window.exchange(a, b)
    if balanced and sum(window.kept_around(a, b) for window in windows) <= before + LEAST_GAIN:
        for window in windows:
            window.exchange(a, b)
        return False
    return True

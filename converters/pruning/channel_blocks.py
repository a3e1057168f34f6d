"""Blocks of channels that must be permuted together, and axes made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Axis", "Block", "Orders", "Span", "axis_order", "expanded", "pin", "resolve", "sliced", "unify"]

Order = npt.NDArray[np.intp]


class Block:
    """Channels that may be put in any order, the same wherever the block occurs.

    Parameters
    ----------
    size : int
        Number of channels.
    pinned : bool
        Whether the order must stay as it is.
    """

    def __init__(self, size: int, pinned: bool = False) -> None:
        self.size = size
        self.pinned = pinned
        #: What stands for this block since it was merged, cut or bundled; empty while it is live.
        self.successors: tuple[Span, ...] = ()

    def cut(self, size: int) -> None:
        """Replace the block by its first ``size`` channels and the rest: channels no longer cross that place."""
        self.successors = (Span(Block(size, self.pinned)), Span(Block(self.size - size, self.pinned)))

    def bundle(self, count: int) -> None:
        """Replace the block by one whose channels stand for ``count`` neighbours each, which stay together."""
        self.successors = (Span(Block(self.size // count, self.pinned), count),)


@dataclass(frozen=True)
class Span:
    """A block on an axis; every channel takes ``repeat`` consecutive entries (a flattened image has H * W)."""

    block: Block
    repeat: int = 1

    @property
    def entries(self) -> int:
        """Entries of the axis that the span covers."""
        return self.block.size * self.repeat


Axis = Sequence[Span]
Orders = Mapping[Block, Order]


def resolve(axis: Axis) -> list[Span]:
    """Return the axis in live blocks."""
    live: list[Span] = []
    for span in axis:
        if span.block.successors:
            live += resolve(expanded(span.block.successors, span.repeat))
        else:
            live.append(span)
    return live


def pin(axis: Axis) -> None:
    """Keep the order of an axis as it is."""
    for span in resolve(axis):
        span.block.pinned = True


def expanded(axis: Axis, repeat: int) -> list[Span]:
    """Return the axis with every entry repeated ``repeat`` times in place."""
    return [Span(span.block, span.repeat * repeat) for span in axis]


def sliced(axis: Axis, start: int, stop: int) -> list[Span] | None:
    """Return the spans of entries ``start`` to ``stop``, cutting blocks there; None if that would cut a channel."""
    for place in (start, stop):
        if not _cut_at(axis, place):
            return None
    found, entry = [], 0
    for span in resolve(axis):
        if start <= entry < stop:
            found.append(span)
        entry += span.entries
    return found


def _cut_at(axis: Axis, place: int) -> bool:
    entry = 0
    for span in resolve(axis):
        inside = place - entry
        if 0 < inside < span.entries:
            if inside % span.repeat:
                return False
            span.block.cut(inside // span.repeat)
            # A block that occurs twice was cut in both places; look again.
            return _cut_at(axis, place)
        entry += span.entries
    return True


def unify(first: Axis, second: Axis) -> None:
    """Make both axes take the same order from now on; what cannot be matched is pinned."""
    if sum(span.entries for span in resolve(first)) != sum(span.entries for span in resolve(second)):
        pin(first)
        pin(second)
        return
    while True:
        different = ((s, t) for s, t in zip(resolve(first), resolve(second), strict=False) if s != t)
        pair = next(different, None)
        if pair is None:
            return
        if not _approach(*pair):
            pin(first)
            pin(second)
            return


def _approach(a: Span, b: Span) -> bool:
    """Bring two different spans at the same place one step closer; False if they cannot be matched."""
    fine, coarse = (a, b) if a.repeat <= b.repeat else (b, a)
    bundled, rest = divmod(coarse.repeat, fine.repeat)
    if rest:
        return False
    if fine.entries > coarse.entries:
        fine.block.cut(coarse.block.size * bundled)
    elif bundled > 1:
        if fine.block.size % bundled:
            return False
        fine.block.bundle(bundled)
    elif coarse.entries > fine.entries:
        coarse.block.cut(fine.block.size)
    else:
        fine.block.pinned |= coarse.block.pinned
        coarse.block.successors = (Span(fine.block),)
    return True


def axis_order(axis: Axis, orders: Orders) -> Order | None:
    """Return the indices of the axis' old entries in their new order, or None if nothing moves."""
    parts, entry = [], 0
    for span in resolve(axis):
        order = orders.get(span.block, np.arange(span.block.size))
        parts.append(entry + (order[:, None] * span.repeat + np.arange(span.repeat)).ravel())
        entry += span.entries
    whole = np.concatenate(parts) if parts else np.arange(0)
    return None if np.array_equal(whole, np.arange(entry)) else whole

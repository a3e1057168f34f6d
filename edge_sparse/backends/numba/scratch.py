"""Memory behind the plan's arena that kernels of one step use between their launches."""

from __future__ import annotations

from edge_sparse.backends.numba.launch import Address
from edge_sparse.plan import Storage

__all__ = ["Scratch"]

_ALIGNMENT = 64
#: Bytes after the arena and after every piece that vectors may read or write.
_SLACK = 256


class Scratch:
    """Places in one region that all steps share; what a step leaves there is gone when the next one begins.

    Parameters
    ----------
    arena_bytes : int
        Where the region begins.
    """

    def __init__(self, arena_bytes: int) -> None:
        self._first = -(-(arena_bytes + _SLACK) // _ALIGNMENT) * _ALIGNMENT
        self.end = arena_bytes

    def places(self, *sizes: int) -> tuple[Address, ...]:
        """Return one aligned place for every number of bytes, for the step being prepared."""
        at, places = self._first, []
        for size in sizes:
            places.append(Address(Storage.ARENA, at))
            at += -(-(size + _SLACK) // _ALIGNMENT) * _ALIGNMENT
        self.end = max(self.end, at)
        return tuple(places)

"""``Pcg32``: the random numbers of sampling, the same in every language."""

from __future__ import annotations

__all__ = ["Pcg32"]

_MULTIPLIER = 6364136223846793005
_INCREMENT = 109
_MASK = (1 << 64) - 1


class Pcg32:
    """O'Neill's PCG-XSH-RR 64/32 on stream 54, as ``pcg32_srandom(seed, 54)`` starts it.

    Parameters
    ----------
    seed : int
        0 to 2**64 - 1; numbers outside are taken modulo 2**64.
    """

    def __init__(self, seed: int) -> None:
        self._state = (_INCREMENT + seed & _MASK) * _MULTIPLIER + _INCREMENT & _MASK

    def next(self) -> int:
        """Return the next number, 0 to 2**32 - 1."""
        old = self._state
        self._state = old * _MULTIPLIER + _INCREMENT & _MASK
        mixed, turn = (old >> 18 ^ old) >> 27 & 0xFFFFFFFF, old >> 59
        return (mixed >> turn | mixed << (-turn & 31)) & 0xFFFFFFFF

    def uniform(self) -> float:
        """Return the next number divided by 2**32, which is below 1 and exact in double precision."""
        return self.next() / (1 << 32)

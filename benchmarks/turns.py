"""Timing of rivals in shuffled turns, so that a slow spell of the machine hits all of them."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["Timing", "take_turns"]


@dataclass
class Timing:
    """Milliseconds of one rival, per round."""

    rounds: list[list[float]] = field(default_factory=list)

    @property
    def minimum(self) -> float:
        """Fastest call."""
        return min(min(calls) for calls in self.rounds)

    @property
    def median(self) -> float:
        """Median of all calls."""
        return statistics.median(time for calls in self.rounds for time in calls)

    @property
    def best_round(self) -> float:
        """Lowest of the rounds' medians: the usual time in the machine's best spell."""
        return min(statistics.median(calls) for calls in self.rounds)

    def summary(self) -> dict[str, float]:
        """Return the three figures for a JSON file."""
        return {"min_ms": self.minimum, "best_round_ms": self.best_round, "median_ms": self.median}


def seconds_of(run: Callable[[], object], calls: int) -> list[float]:
    """Call once to warm the caches, then time ``calls`` calls; a rival may time itself (see ``Worker``)."""
    if hasattr(run, "seconds_of"):
        return list(run.seconds_of(calls))
    run()
    seconds = []
    for _ in range(calls):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds


def take_turns(rivals: Mapping[str, Callable[[], object]], rounds: int, calls: int) -> dict[str, Timing]:
    """Return the timings of all rivals; every round runs each of them once, in another order."""
    order, timings = list(rivals), {name: Timing() for name in rivals}
    shuffle = random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(order)
        for name in order:
            timings[name].rounds.append([1e3 * s for s in seconds_of(rivals[name], calls)])
    return timings

"""How sparsity grows while a network is trained."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sparse.errors import PruningError

__all__ = ["CubicSchedule"]


@dataclass(frozen=True)
class CubicSchedule:
    """Gradual pruning: fast while weights are redundant, slow towards the end.

    Equation 1 of Zhu and Gupta, "To prune, or not to prune" (2017), from sparsity 0:
    ``s(t) = s_final * (1 - (1 - (t - begin) / (end - begin))^3)``.

    Parameters
    ----------
    begin, end : int
        Training steps of the first and the last change; both 0 prunes at once.
    frequency : int
        Steps between two changes.
    """

    begin: int
    end: int
    frequency: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= self.end:
            raise PruningError(
                "SCHEDULE_RANGE",
                f"the schedule begins at step {self.begin} and ends at step {self.end}",
                "give 0 <= begin <= end, both in training steps",
            )
        if self.frequency < 1:
            raise PruningError(
                "SCHEDULE_FREQUENCY",
                f"masks change every {self.frequency} steps",
                "give a frequency of at least 1 step",
            )

    @property
    def last(self) -> int:
        """The step at which the final sparsity is reached; steps are counted from 1."""
        return max(self.end, 1)

    def is_due(self, step: int) -> bool:
        """Tell whether masks change at this step."""
        if step >= self.last:
            return step == self.last
        return step >= self.begin and (step - self.begin) % self.frequency == 0

    def share(self, step: int) -> float:
        """Return the part of the final sparsity that is due at this step, from 0 to 1."""
        if step >= self.last:
            return 1.0
        if step <= self.begin:
            return 0.0
        return float(1 - (1 - (step - self.begin) / (self.end - self.begin)) ** 3)

"""From the output of a classifier to its most probable labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.plan import Op, Plan

__all__ = ["class_probabilities", "ends_in_softmax", "top_labels"]


def ends_in_softmax(plan: Plan) -> bool:
    """Return whether the plan's first output is a softmax already, looking through copies."""
    number = plan.outputs[0]
    for step in reversed(plan.steps):
        if number in step.outputs:
            if step.op is not Op.COPY:
                return step.op is Op.SOFTMAX
            number = step.inputs[0]
    return False


def class_probabilities(scores: npt.NDArray[Any], *, normalised: bool) -> npt.NDArray[np.float64]:
    """Return the probabilities of one image's scores; logits go through a softmax unless ``normalised``."""
    values = scores.astype(np.float64).reshape(-1)
    if normalised:
        return values
    exponentials = np.exp(values - values.max())
    return np.asarray(exponentials / exponentials.sum())


def top_labels(probabilities: npt.NDArray[np.float64], labels: Sequence[str], count: int) -> list[tuple[str, float]]:
    """Return the most probable labels, first the best; classes without a label are named by their number."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return [(labels[i] if i < len(labels) else str(i), float(probabilities[i])) for i in order]

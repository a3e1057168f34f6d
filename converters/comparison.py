"""How far two sets of outputs lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.source import Arrays

from edge_sparse.errors import VerificationError

__all__ = ["Comparison", "compare", "relative_error"]


@dataclass(frozen=True)
class Comparison:
    """Differences over all inputs.

    Parameters
    ----------
    max_error : float
        Largest absolute difference of any output element.
    relative_error : float
        The same, divided by the largest magnitude of that output in the reference; the largest over the outputs.
    top1_agreement : float, optional
        Share of samples (of pixels, for maps of classes) in which the largest element along axis 1 is the same; None
        where no output has two or more elements along axis 1. The lowest over the outputs.
    samples : int
        Rows of inputs that were compared.
    """

    max_error: float
    relative_error: float
    top1_agreement: float | None
    samples: int


def relative_error(expected: npt.NDArray[np.floating], found: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return the largest absolute difference and its ratio to the largest magnitude expected.

    Numbers that are not finite in ``found`` count as an infinite error. Where only zeros are expected, the ratio is the
    difference itself.
    """
    if not expected.size:
        return 0.0, 0.0
    if not np.isfinite(found).all():
        return float("inf"), float("inf")
    error = float(np.abs(found.astype(np.float64) - expected).max())
    scale = float(np.abs(expected).max())
    return error, error / scale if scale else error


def _agreement(expected: npt.NDArray[np.floating], found: npt.NDArray[np.floating]) -> float | None:
    if expected.ndim < 2 or expected.shape[1] < 2:
        return None
    return float((expected.argmax(axis=1) == found.argmax(axis=1)).mean())


def compare(expected: Sequence[Arrays], found: Sequence[Arrays], samples: int) -> Comparison:
    """Compare outputs by name, batch after batch.

    Raises
    ------
    VerificationError
        ``SOURCE_NOT_FINITE``: the source itself computes NaN or infinity, so nothing can be compared.
    """
    worst, worst_relative, agreement = 0.0, 0.0, None
    for name in expected[0]:
        # Whole outputs over all batches: one small batch must not make the scale small.
        reference = np.concatenate([np.asarray(batch[name], np.float64) for batch in expected])
        result = np.concatenate([np.asarray(batch[name], np.float32) for batch in found]).reshape(reference.shape)
        if not np.isfinite(reference).all():
            raise VerificationError(
                "SOURCE_NOT_FINITE",
                f"output {name} of the source model is NaN or infinite on the inputs of the verification",
                "give verify_inputs of the kind that the model is meant for",
            )
        error, relative = relative_error(reference, result)
        worst, worst_relative = max(worst, error), max(worst_relative, relative)
        share = _agreement(reference, result)
        if share is not None:
            agreement = share if agreement is None else min(agreement, share)
    return Comparison(worst, worst_relative, agreement, samples)

"""How the next token is chosen from logits; ``docs/generation.md`` defines it for every language."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import InputError
from edge_sparse.llm.pcg32 import Pcg32

__all__ = ["Sampling", "choose_token"]

#: So many best tokens are sorted first: nearly always the choice is among them.
_FIRST = 512
#: Where they do not suffice, so many times more are.
_MORE = 16


@dataclass(frozen=True)
class Sampling:
    """Options of sampling, applied in this order: penalty, temperature, top-k, top-p, min-p.

    Parameters
    ----------
    temperature : float
        Divides the logits; 0 always takes the likeliest token.
    top_k : int
        Keep so many likeliest tokens; 0: all.
    top_p : float
        Keep the likeliest tokens that together have at least this probability, above 0; 1: all.
    min_p : float
        Keep tokens with at least this share of the likeliest token's probability, below 1; 0: all.
    repetition_penalty : float
        Tokens that the context holds: positive logits are divided by it, negative ones multiplied; 1: nothing.

    Raises
    ------
    InputError
        ``SAMPLING_RANGE``: an option is out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        ranges = (
            ("temperature", self.temperature >= 0, "0 (always the likeliest token) or more"),
            ("top_k", self.top_k >= 0 and self.top_k == int(self.top_k), "0 (all tokens) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("min_p", 0 <= self.min_p < 1, "0 or more and below 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0; 1 does nothing"),
        )
        for name, fits, hint in ranges:
            value = getattr(self, name)
            if not (math.isfinite(value) and fits):
                raise InputError("SAMPLING_RANGE", f"{name} is {value}", f"pass a number {hint}")


def choose_token(
    logits: npt.NDArray[np.float32], sampling: Sampling, random: Pcg32, context: Iterable[int] = ()
) -> int:
    """Return the next token.

    Parameters
    ----------
    logits : ndarray of float32, shape (vocabulary,)
    sampling : Sampling
    random : Pcg32
        One number is drawn, none at temperature 0.
    context : iterable of int
        Tokens that the repetition penalty concerns.

    Raises
    ------
    InputError
        ``LOGITS_NOT_FINITE``: no logit is a number.
    """
    scores = _penalised(logits, sampling.repetition_penalty, context)
    if sampling.temperature == 0:
        return int(scores.argmax())
    scores = (scores - scores.max()) / sampling.temperature
    return _draw(scores, sampling, random.uniform(), _FIRST)


def _penalised(logits: npt.NDArray[np.float32], penalty: float, context: Iterable[int]) -> npt.NDArray[np.float64]:
    scores = logits.astype(np.float64)
    # A broken model must not sample at random without anybody noticing; -inf excludes a token.
    if np.isnan(scores).any() or not math.isfinite(scores.max()):
        raise InputError("LOGITS_NOT_FINITE", "the model computed no numbers", "check the weights, or convert again")
    if penalty != 1:
        seen = np.unique(np.fromiter((token for token in context if 0 <= token < scores.size), np.int64))
        scores[seen] = np.where(scores[seen] > 0, scores[seen] / penalty, scores[seen] * penalty)
    return scores


def _draw(scores: npt.NDArray[np.float64], sampling: Sampling, uniform: float, count: int) -> int:
    """Return the token that ``uniform`` falls on, looking at the ``count`` best tokens, more if they do not suffice.

    ``scores`` are logarithms of weights, the largest 0. All filters keep a beginning of the sorted tokens.
    """
    wanted = min(sampling.top_k or scores.size, scores.size)
    order = _best(scores, min(count, wanted))
    running = np.cumsum(np.exp(scores[order]))
    complete = order.size == wanted
    total = running[-1] if complete else _total(scores, wanted)
    kept, mass = wanted, total
    if sampling.top_p < 1:
        reached = int(np.searchsorted(running, sampling.top_p * total)) + 1
        if reached > order.size and not complete:
            return _draw(scores, sampling, uniform, count * _MORE)
        kept = min(reached, wanted)
        mass = running[kept - 1]
    if sampling.min_p > 0:
        above = int((scores >= math.log(sampling.min_p)).sum())
        if above < kept:
            kept = above
            if kept > order.size:
                return _draw(scores, sampling, uniform, count * _MORE)
            mass = running[kept - 1]
    place = int(np.searchsorted(running, uniform * mass, side="right"))
    if place >= order.size and not complete:
        return _draw(scores, sampling, uniform, count * _MORE)
    return int(order[min(place, kept - 1)])


def _best(scores: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Return the ``count`` best tokens, the best first, of equal ones the lower number first."""
    block = scores.size // (4 * count)
    if block < 2:
        return np.argsort(-scores, kind="stable")[:count]
    # At least ``count`` scores are as large as the maxima of ``count`` blocks, so few scores are left to be sorted.
    whole = scores.size // block * block
    maxima = scores[:whole].reshape(-1, block).max(axis=1)
    bound = np.partition(maxima, maxima.size - count)[maxima.size - count]
    found = np.flatnonzero(scores >= bound)
    return found[np.argsort(-scores[found], kind="stable")[:count]]


def _total(scores: npt.NDArray[np.float64], count: int) -> Any:
    weights = np.exp(scores) if count == scores.size else np.exp(scores[_best(scores, count)])
    return weights.sum()

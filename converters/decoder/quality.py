"""Perplexity of a converted model on a text, before and after its weights were pruned or rounded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_sparse.errors import BackendError
from edge_sparse.llm.attention import ExactAttention, with_attention
from edge_sparse.plan import DType, Model
from edge_sparse.session import Session

__all__ = ["SAMPLE_TEXT", "Quality", "exponential", "mean_loss", "score_session"]

#: From "Alice's Adventures in Wonderland" by Lewis Carroll (1865), in the public domain.
SAMPLE_TEXT = (
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once or "
    "twice she had peeped into the book her sister was reading, but it had no pictures or conversations in it, “and "
    "what is the use of a book,” thought Alice “without pictures or conversations?”\n\nSo she was considering in her "
    "own mind (as well as she could, for the hot day made her feel very sleepy and stupid), whether the pleasure of "
    "making a daisy-chain would be worth the trouble of getting up and picking the daisies, when suddenly a White "
    "Rabbit with pink eyes ran close by her.\n\nThere was nothing so very remarkable in that; nor did Alice think it "
    "so very much out of the way to hear the Rabbit say to itself, “Oh dear! Oh dear! I shall be late!” (when she "
    "thought it over afterwards, it occurred to her that she ought to have wondered at this, but at the time it all "
    "seemed quite natural); but when the Rabbit actually took a watch out of its waistcoat-pocket, and looked at it, "
    "and then hurried on, Alice started to her feet, for it flashed across her mind that she had never before seen a "
    "rabbit with either a waistcoat-pocket, or a watch to take out of it, and burning with curiosity, she ran across "
    "the field after it, and fortunately was just in time to see it pop down a large rabbit-hole under the hedge.\n"
)
#: Perplexity may rise by this factor before a person is told, and by this one before the model counts as broken.
_WORSE, _BROKEN = 1.1, 2.0


@dataclass(frozen=True)
class Quality:
    """Perplexity (per token) on a text.

    Parameters
    ----------
    text : str
        Name of the text.
    tokens : int
        Tokens that were predicted.
    before : float, optional
        Of the same model with all weights in float32; None if it was not measured.
    after : float
        Of the converted model.
    """

    text: str
    tokens: int
    before: float | None
    after: float

    @property
    def warning(self) -> str:
        """What a person must know, or nothing."""
        if self.before is None or self.after <= _WORSE * self.before:
            return ""
        factor = f"perplexity rose from {self.before:.4g} to {self.after:.4g} ({self.after / self.before:.2f} times)"
        if self.after > _BROKEN * self.before:
            return f"{factor}: this model is no longer usable; drop fewer weights, use narrower groups, or retrain"
        return f"{factor}: expect worse text"


def score_session(model: Model, threads: int, tokens: int) -> Session:
    """Return a session of plan ``score`` for texts of so many tokens, with caches in float32 and no longer than needed.

    It runs on vector kernels, or on the reference backend where there are none.
    """
    chunk = model.plan("score").symbol_max
    rows = min(cache.shape[0] for cache in model.tensors if cache.name.endswith(".k_cache"))
    model = with_attention(model, ExactAttention(DType.F32), min(rows, max(tokens, chunk)))
    try:
        return Session.from_model(model, backend="numba", threads=threads, plan="score")
    except BackendError:
        return Session.from_model(model, backend="reference", plan="score")


def mean_loss(session: Session, ids: Sequence[int], report: Callable[[float], None] = lambda share: None) -> float:
    """Return the mean negative log-likelihood, in nats per token, of every token after the first.

    The text is cut into windows as long as the caches; each token sees what stands before it in its window.

    Parameters
    ----------
    session : Session
        Of plan ``score``.
    ids : sequence of int
        At least two tokens.
    report : callable
        Called with the share that is done.
    """
    ids, chunk = np.asarray(ids, np.int32), session.plan.symbol_max
    window = min(cache.shape[0] for cache in session.plan.tensors if cache.name.endswith(".k_cache"))
    total, predicted = 0.0, len(ids) - 1
    for start in range(0, predicted, window):
        end = min(start + window, predicted)
        for first in range(start, end, chunk):
            last = min(first + chunk, end)
            position = np.array([first - start], np.int32)
            logits = session.run({"ids": ids[first:last], "position": position})["logits"].astype(np.float64)
            logits -= logits.max(axis=1, keepdims=True)
            right = logits[np.arange(last - first), ids[first + 1 : last + 1]]
            total += float((np.log(np.exp(logits).sum(axis=1)) - right).sum())
            report(last / predicted)
    return total / predicted


def exponential(loss: float) -> float:
    """Return the perplexity of a mean loss, infinity where that is too large."""
    return math.exp(loss) if loss < 700 else math.inf

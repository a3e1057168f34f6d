"""How well a model predicts a text: mean negative log-likelihood of its tokens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import InputError
from edge_sparse.llm.skipped import skipped
from edge_sparse.llm.token_cache import TokenCache

__all__ = ["Perplexity", "text_perplexity", "token_losses"]

#: Rows of logits that are turned into probabilities at a time, since double precision takes twice their memory.
_ROWS = 16


@dataclass(frozen=True)
class Perplexity:
    """``loss`` is the mean negative log-likelihood in nats of ``tokens`` predicted tokens in ``windows`` windows.

    ``skipped`` is the share of key elements that attention need not have read at the end of a window, the mean over
    windows by their tokens.
    """

    loss: float
    tokens: int
    windows: int
    seconds: float
    skipped: float

    @property
    def perplexity(self) -> float:
        """The exponential of the loss."""
        return math.exp(self.loss) if self.loss < 700 else math.inf


def token_losses(cache: TokenCache, tokens: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return the negative log-likelihood of every token but the first, given all before it.

    Parameters
    ----------
    cache : TokenCache
        Of a plan whose output holds logits of every token; emptied first.
    tokens : sequence of int
        At least 2; all but the last must fit into the context.
    """
    wanted = np.array(tokens[1:], np.int64)
    losses = np.empty(len(wanted))
    cache.tokens.clear()
    cache.go_back(tokens[:-1])
    for first in range(0, len(wanted), cache.chunk):
        part = wanted[first : first + cache.chunk]
        logits = cache.read(tokens[first : first + len(part)])
        for row in range(0, len(part), _ROWS):
            scores = logits[row : row + _ROWS].astype(np.float64)
            scores -= scores.max(axis=1, keepdims=True)
            targets = part[row : row + _ROWS]
            found = scores[np.arange(len(targets)), targets]
            losses[first + row : first + row + len(targets)] = np.log(np.exp(scores).sum(axis=1)) - found
    return losses


def text_perplexity(
    cache: TokenCache,
    tokens: Sequence[int],
    *,
    bos: int = -1,
    window: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Perplexity:
    """Measure a long text in windows, each of which starts with empty caches.

    Parameters
    ----------
    cache : TokenCache
        Of a plan whose output holds logits of every token.
    tokens : sequence of int
        The text, with ``bos`` in front if the model expects it.
    bos : int
        Token that every window begins with; -1: with the token before it, which it does not predict.
    window : int, optional
        Tokens per window; by default as many as the context holds.

    Raises
    ------
    InputError
        ``WINDOW_RANGE``, or ``TEXT_TOO_SHORT`` for fewer than 2 tokens.
    """
    window = cache.context if window is None else window
    if not 2 <= window <= cache.context:
        message = f"windows of {window} tokens in a context of {cache.context}"
        raise InputError("WINDOW_RANGE", message, f"ask for 2 to {cache.context}")
    tokens = list(tokens)
    if len(tokens) < 2:
        raise InputError("TEXT_TOO_SHORT", f"a text of {len(tokens)} tokens", "pass a longer text")
    start, losses, shares = time.perf_counter(), [], []
    if bos >= 0 and tokens[0] == bos:
        tokens = tokens[1:]
        parts = [[bos, *tokens[at : at + window - 1]] for at in range(0, len(tokens), window - 1)]
    else:
        parts = [tokens[at : at + window] for at in range(0, len(tokens) - 1, window - 1)]
    for part in parts:
        losses.append(token_losses(cache, part))
        shares.append(skipped(cache.mode, cache.session, cache.window).share)
        if progress:
            progress(len(losses) / len(parts))
    all_losses = np.concatenate(losses)
    share = float(np.average(shares, weights=[part.size for part in losses]))
    seconds = time.perf_counter() - start
    return Perplexity(float(all_losses.mean()), all_losses.size, len(parts), seconds, share)

"""What ``llm_quality.py`` measures: how well windows of a text are predicted, and whether an earlier line is found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_sparse import Session
from edge_sparse.llm.attention import AttentionMode, with_attention
from edge_sparse.llm.delta import delta_sparsity
from edge_sparse.llm.token_cache import TokenCache
from edge_sparse.plan import Model, Op

__all__ = ["Retrieval", "Task", "measure", "retrieval_prompts", "windows_of"]

#: Tokens of a repeated line that are shown before the rest has to be known.
SHOWN = 12


@dataclass(frozen=True)
class Retrieval:
    """A text whose last line stood earlier in it (or, as a control, did not); ``asked`` tokens at its end count."""

    tokens: tuple[int, ...]
    asked: int


@dataclass(frozen=True)
class Task:
    """Windows to be predicted, prompts that repeat an earlier line, and the same prompts without that line."""

    windows: tuple[tuple[int, ...], ...]
    repeated: tuple[Retrieval, ...]
    absent: tuple[Retrieval, ...]


def windows_of(ids: Sequence[int], depth: int, tokens: int, bos: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Cut ``depth`` + 1 tokens at a time, spread over the text, ``tokens`` in all; each begins at a BOS, if any."""
    count = max(2, tokens // depth)
    starts = np.linspace(0, len(ids) - depth - 1, count).astype(int)
    if bos:
        begins = np.flatnonzero(np.array(ids[: -depth - 1]) == bos[0])
        starts = begins[np.linspace(0, len(begins) - 1, min(count, len(begins))).astype(int)]
    return tuple(tuple(ids[start : start + depth + 1]) for start in starts)


def retrieval_prompts(
    lines: Sequence[Sequence[int]], filler: Sequence[int], depth: int, count: int, bos: tuple[int, ...], seed: int = 1
) -> tuple[tuple[Retrieval, ...], tuple[Retrieval, ...]]:
    """Return prompts of ``depth`` tokens in which a line stands after an eighth and again at the end, and controls.

    In a control another line of the same length takes the first place, so what is found there was guessed.
    """
    random = np.random.default_rng(seed)
    repeated, absent = [], []
    chosen = random.permutation(len(lines))[: 2 * count]
    for line, other in zip((lines[i] for i in chosen[:count]), (lines[i] for i in chosen[count:]), strict=True):
        other = (list(other) * (1 + len(line) // len(other)))[: len(line)]
        room = depth + 1 - len(bos) - 2 * len(line)
        at = int(random.integers(0, len(filler) - room))
        between = list(filler[at : at + room])
        early = len(between) // 8
        for first, prompts in ((line, repeated), (other, absent)):
            tokens = (*bos, *between[:early], *first, *between[early:], *line)
            prompts.append(Retrieval(tokens, len(line) - SHOWN))
    return tuple(repeated), tuple(absent)


def _predictions(cache: TokenCache, tokens: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss of every token but the first, and whether it was the likeliest."""
    wanted = np.array(tokens[1:])
    losses, hits = np.empty(len(wanted)), np.empty(len(wanted), bool)
    cache.tokens.clear()
    cache.go_back(tokens[:-1])
    for first in range(0, len(wanted), cache.chunk):
        part = wanted[first : first + cache.chunk]
        logits = cache.read(tokens[first : first + len(part)]).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        hits[first : first + len(part)] = logits[np.arange(len(part)), part] == 0
        losses[first : first + len(part)] = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(part)), part]
    return losses, hits


def measure(model: Model, mode: AttentionMode, task: Task, *, threads: int = 1, backend: str = "auto") -> dict:
    """Return losses, retrieval, delta sparsity (0 for exact attention) and seconds of a task.

    ``gained`` is how much less the repeated tokens cost, in nats, than the same tokens in the controls.
    """
    depth = len(task.windows[0]) - 1
    rewritten = with_attention(model, mode, max(depth, model.plan("score").symbol_max))
    start = time.perf_counter()
    losses, late, sparsities, of_all = [], [], [], []
    with Session.from_model(rewritten, plan="score", threads=threads, backend=backend) as session:
        cache = TokenCache(session, mode, depth)
        delta = any(step.op is Op.DELTA_ATTENTION for step in session.plan.steps)
        for window in task.windows:
            loss, _ = _predictions(cache, window)
            losses.append(loss.mean())
            late.append(loss[-(depth // 4) :].mean())
            if delta:
                found = delta_sparsity(session, cache.window)
                sparsities.append(found.outside)
                of_all.append(found.of_all)
        seconds = time.perf_counter() - start
        (found, with_line), (guessed, without) = (_retrieved(cache, p) for p in (task.repeated, task.absent))
    return {
        "depth": depth,
        "loss": float(np.mean(losses)),
        "loss_last_quarter": float(np.mean(late)),
        "sparsity_outside": float(np.mean(sparsities)) if sparsities else 0.0,
        "sparsity": float(np.mean(of_all)) if of_all else 0.0,
        "found": found,
        "guessed": guessed,
        "gained": without - with_line,
        "seconds": seconds,
        "tokens": sum(len(window) - 1 for window in task.windows),
    }


def _retrieved(cache: TokenCache, prompts: Sequence[Retrieval]) -> tuple[float, float]:
    """Return the share of asked tokens that were the likeliest, and their mean loss."""
    answers = [_predictions(cache, prompt.tokens) for prompt in prompts]
    losses, hits = (
        np.concatenate([answer[side][-prompt.asked :] for answer, prompt in zip(answers, prompts, strict=True)])
        for side in (0, 1)
    )
    return float(hits.mean()), float(losses.mean())

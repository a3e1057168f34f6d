"""``Generation``: an answer while it is made, and afterwards."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import InputError
from edge_sparse.llm.pcg32 import Pcg32
from edge_sparse.llm.sampling import Sampling, choose_token
from edge_sparse.llm.skipped import Skipped, skipped
from edge_sparse.llm.text_codec import TextCodec
from edge_sparse.llm.text_stream import TextStream
from edge_sparse.llm.token_cache import TokenCache

__all__ = ["ROLL_KEEP", "Generation", "GenerationStats", "Request"]

#: Tokens at the beginning that stay when the context rolls.
ROLL_KEEP = 4


@dataclass(frozen=True)
class Request:
    """What to generate. ``max_tokens`` None: until the text ends or the context is full."""

    prompt: tuple[int, ...]
    sampling: Sampling
    seed: int
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    on_full: str = "error"
    logprobs: bool = False


@dataclass
class GenerationStats:
    """What a generation took so far.

    ``reused_tokens`` of the ``prompt_tokens`` were in the caches already. ``first_token_seconds`` is the time from the
    start to the first token; ``decode_seconds`` that from there to the last.
    """

    prompt_tokens: int = 0
    reused_tokens: int = 0
    generated_tokens: int = 0
    first_token_seconds: float = 0.0
    decode_seconds: float = 0.0
    rolls: int = 0
    seed: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Speed after the first token; 0 if there were no more."""
        return (self.generated_tokens - 1) / self.decode_seconds if self.decode_seconds > 0 else 0.0


class Generation:
    """Iterate to get the answer piece by piece; ``text`` holds what there is.

    ``finish`` says why it ended: ``"end"`` (the model ended it), ``"stop"`` (a stop string), ``"length"``
    (``max_tokens``), ``"context"`` (no room), ``"cancelled"``; "" while it runs. ``tokens`` are the chosen tokens, and
    ``logprobs``, if asked for, the logarithms of the probabilities that the model gave them.
    """

    def __init__(self, cache: TokenCache, codec: TextCodec | None, request: Request) -> None:
        self.text, self.finish = "", ""
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.stats = GenerationStats(prompt_tokens=len(request.prompt), seed=request.seed)
        self._cache, self._request, self._codec = cache, request, codec
        self._random = Pcg32(request.seed)
        self._pieces = self._run()

    def skipped(self) -> Skipped:
        """Return what attention need not look at, for what the caches hold now."""
        return skipped(self._cache.mode, self._cache.session, self._cache.window)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except BaseException as error:
            if not self.finish and not isinstance(error, StopIteration):
                self.finish = "cancelled" if isinstance(error, KeyboardInterrupt) else "error"
            raise

    def __str__(self) -> str:
        return self.text

    def close(self) -> None:
        """Cancel; the model can be used on at once."""
        self._pieces.close()
        self.finish = self.finish or "cancelled"

    def __enter__(self) -> Generation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> Generator[str, None, None]:
        """Yield pieces of text that are not empty."""
        start = time.perf_counter()
        stream = self._stream()
        for token in self._choices(start):
            self.tokens.append(token)
            piece = stream.push(token) if stream else ""
            if piece:
                self.text += piece
                yield piece
            if stream and stream.stopped:
                self.finish = "stop"
                return
        if stream and (piece := stream.finish()):
            self.text += piece
            yield piece
        if stream and stream.stopped:
            self.finish = "stop"
        elif self.finish == "context" and self._request.max_tokens is not None:
            wanted, context = self._request.max_tokens, self._cache.context
            message = f"the context of {context} tokens is full after {len(self.tokens)} of {wanted} tokens"
            hint = "ask for fewer tokens or a larger context, or let the context roll (on_full='roll')"
            raise InputError("CONTEXT_FULL", message, hint)

    def _stream(self) -> TextStream | None:
        prompt = self._request.prompt
        return TextStream(self._codec, self._request.stop, prompt[-1]) if self._codec else None

    def _choices(self, start: float) -> Iterator[int]:
        """Yield tokens until one ends the text, enough are there, or the context is full; ``finish`` says which."""
        request, stats, cache = self._request, self.stats, self._cache
        prompt = list(request.prompt)
        stats.reused_tokens = cache.go_back(prompt)
        logits = cache.read(prompt[stats.reused_tokens :])[-1]
        while True:
            token = choose_token(logits, request.sampling, self._random, cache.tokens)
            if not stats.generated_tokens:
                stats.first_token_seconds = time.perf_counter() - start
            stats.generated_tokens += 1
            stats.decode_seconds = time.perf_counter() - start - stats.first_token_seconds
            if request.logprobs:
                self.logprobs.append(_log_probability(logits, token))
            if self._codec and self._codec.ends(token):
                self.finish = "end"
                return
            yield token
            if request.max_tokens is not None and stats.generated_tokens >= request.max_tokens:
                self.finish = "length"
                return
            if len(cache.tokens) >= cache.context:
                if request.on_full != "roll":
                    self.finish = "context"
                    return
                self._roll(token)
                logits = cache.read(self._rolled)[-1]
            else:
                logits = cache.read([token])[-1]

    def _roll(self, token: int) -> None:
        """Forget the older half of all but the first tokens; ``_rolled`` is what must be read again."""
        cache = self._cache
        keep = min(ROLL_KEEP, cache.context // 4)
        rest = cache.tokens[keep:]
        tokens = [*cache.tokens[:keep], *rest[-(len(rest) // 2) :], token]
        kept = cache.go_back(tokens)
        self._rolled: Sequence[int] = tokens[kept:]
        self.stats.rolls += 1


def _log_probability(logits: npt.NDArray[Any], token: int) -> float:
    scores = logits.astype(np.float64) - float(logits.max())
    return float(scores[token]) - math.log(float(np.exp(scores).sum()))

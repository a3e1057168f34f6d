"""``LanguageModel``: a loaded decoder that generates, chats and scores text."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from edge_sparse.errors import InputError
from edge_sparse.llm.attention import AttentionMode
from edge_sparse.llm.chat import chat_prompt
from edge_sparse.llm.generation import Generation, Request
from edge_sparse.llm.perplexity import Perplexity, text_perplexity
from edge_sparse.llm.sampling import Sampling
from edge_sparse.llm.skipped import Skipped, skipped
from edge_sparse.llm.text_codec import TextCodec
from edge_sparse.llm.token_cache import TokenCache
from edge_sparse.plan import Model
from edge_sparse.session import Session

__all__ = ["LanguageModel"]

_Number = TypeVar("_Number", int, float)


class LanguageModel:
    """A decoder, its tokenizer, and caches of what it has read.

    One thread at a time may use it; a new generation cancels the one before. Make one with ``edge_sparse.llm.load``.

    Parameters
    ----------
    model : Model
        As ``with_attention`` rewrote it.
    mode : AttentionMode
        The mode it was rewritten for.
    context : int
        Tokens that the caches hold.
    session : Session
        Of plan ``generate``.
    """

    def __init__(self, model: Model, mode: AttentionMode, context: int, session: Session) -> None:
        self.model, self.mode, self.context, self.session = model, mode, context, session
        self.vocabulary: int = session.outputs[0].shape[-1]
        self._codec = TextCodec(model.tokenizer) if model.tokenizer else None
        self._cache = TokenCache(session, mode, context)
        self._running: Generation | None = None

    @property
    def codec(self) -> TextCodec:
        """Encoder and decoder of text.

        Raises
        ------
        InputError
            ``TOKENIZER_MISSING``.
        """
        if self._codec is None:
            raise InputError("TOKENIZER_MISSING", "the file holds no tokenizer", "convert the model with --tokenizer")
        return self._codec

    def generate(
        self,
        prompt: str | Sequence[int] = "",
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float = 0.0,
        repetition_penalty: float = 1.0,
        seed: int | None = None,
        stop: Sequence[str] = (),
        stream: bool = False,
        logprobs: bool = False,
        on_full: str = "error",
    ) -> Generation:
        """Continue a prompt.

        Parameters
        ----------
        prompt : str or sequence of int
            Text, or tokens. An empty one means BOS alone.
        max_tokens : int, optional
            Tokens to generate at most; by default until the text ends or the context is full.
        temperature, top_k, top_p : optional
            By default as the file says; see ``Sampling``.
        min_p, repetition_penalty : float
            See ``Sampling``.
        seed : int, optional
            The same seed gives the same text; drawn by default, ``stats.seed`` tells it.
        stop : sequence of str
            Texts that end the answer; they are not shown.
        stream : bool
            Return before anything is computed: iterate over the result to get pieces of text.
        logprobs : bool
            Keep the logarithm of every token's probability.
        on_full : {"error", "roll"}
            What happens when the context is full; ``docs/generation.md`` says it.

        Raises
        ------
        InputError
            ``PROMPT_EMPTY``, ``PROMPT_TOO_LONG``, ``TOKEN_RANGE``, ``SAMPLING_RANGE``, ``CONTEXT_FULL`` and others.
        """
        defaults = self.model.tokenizer
        sampling = Sampling(
            _given(temperature, defaults.temperature if defaults else 1.0),
            _given(top_k, defaults.top_k if defaults else 0),
            _given(top_p, defaults.top_p if defaults else 1.0),
            min_p,
            repetition_penalty,
        )
        if max_tokens is not None and max_tokens < 1:
            raise InputError("MAX_TOKENS_RANGE", f"{max_tokens} tokens", "ask for at least one")
        if on_full not in ("error", "roll"):
            raise InputError("ON_FULL", f"on_full is {on_full!r}", "pass 'error' or 'roll'")
        if isinstance(stop, str) or not all(isinstance(text, str) and text for text in stop):
            raise InputError("STOP_TEXT", f"stop is {stop!r}", "pass a list of texts that are not empty")
        if not stream and on_full == "roll" and max_tokens is None:
            raise InputError("MAX_TOKENS_RANGE", "a rolling context has no end", "pass max_tokens, or stream=True")
        tokens = tuple(self._prompt(prompt))
        seed = secrets.randbits(32) if seed is None else seed
        self.cancel()
        request = Request(tokens, sampling, seed, max_tokens, tuple(stop), on_full, logprobs)
        self._running = Generation(self._cache, self._codec, request)
        if not stream:
            for _ in self._running:
                pass
        return self._running

    def chat(self, messages: Sequence[Mapping[str, str]], **options: Any) -> Generation:
        """Answer the last message of a conversation; see ``chat_prompt`` for messages, ``generate`` for options."""
        codec = self.codec
        record = codec.tokenizer
        bos, eos = codec.special_text(record.bos), codec.special_text(record.eos)
        prompt = chat_prompt(messages, record.chat_template, bos=bos, eos=eos)
        tokens = codec.encode(prompt.text)
        if record.add_bos and tokens[1:2] == [record.bos]:
            del tokens[0]  # the template has written it
        stop = [*options.pop("stop", ()), *prompt.stop]
        return self.generate(tokens, stop=stop, **options)

    def perplexity(
        self, text: str, *, window: int | None = None, progress: Callable[[float], None] | None = None
    ) -> Perplexity:
        """Measure how well the model predicts a text, in windows of as many tokens as the context holds.

        Raises
        ------
        InputError
            ``PLAN_UNKNOWN``: the file has no plan ``score``; ``TEXT_TOO_SHORT``, ``WINDOW_RANGE``.
        """
        record = self.codec.tokenizer
        tokens = self.codec.encode(text)
        self._check_tokens(tokens)
        backend, threads = self.session.backend, self.session.threads
        with Session.from_model(self.model, backend=backend, threads=threads, plan="score") as session:
            cache = TokenCache(session, self.mode, self.context)
            bos = record.bos if record.add_bos else -1
            return text_perplexity(cache, tokens, bos=bos, window=window, progress=progress)

    def skipped(self) -> Skipped:
        """Return what attention need not look at, for what the caches hold now."""
        return skipped(self.mode, self.session, self._cache.window)

    def cancel(self) -> None:
        """End the generation that is running, if any."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def close(self) -> None:
        """Free threads and memory; a closed model cannot generate."""
        self.cancel()
        self.session.close()

    def __enter__(self) -> LanguageModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prompt(self, prompt: str | Sequence[int]) -> list[int]:
        tokens = self.codec.encode(prompt) if isinstance(prompt, str) else [int(token) for token in prompt]
        if not tokens:
            bos = self.model.tokenizer.bos if self.model.tokenizer else -1
            if bos < 0:
                raise InputError("PROMPT_EMPTY", "the prompt is empty, and the model has no BOS", "pass some text")
            tokens = [bos]
        self._check_tokens(tokens)
        if len(tokens) > self.context:
            message = f"the prompt has {len(tokens)} tokens, the context holds {self.context}"
            raise InputError("PROMPT_TOO_LONG", message, "shorten it, or load the model with a larger context")
        return tokens

    def _check_tokens(self, tokens: Sequence[int]) -> None:
        wrong = [token for token in tokens if not 0 <= token < self.vocabulary]
        if wrong:
            message = f"token {wrong[0]} is outside the vocabulary of {self.vocabulary}"
            raise InputError("TOKEN_RANGE", message, "check the tokens, or the tokenizer that the file was made with")


def _given(value: _Number | None, default: _Number) -> _Number:
    return default if value is None else value

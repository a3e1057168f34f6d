"""Options that ``generate``, ``chat`` and ``perplexity`` share, and text from and to the outside."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_sparse.cli.text import duration
from edge_sparse.errors import InputError

if TYPE_CHECKING:
    from edge_sparse.cli.console import Console
    from edge_sparse.llm.generation import Generation
    from edge_sparse.llm.language_model import LanguageModel

__all__ = [
    "add_attention_arguments",
    "add_sampling_arguments",
    "open_model",
    "print_pieces",
    "read_text",
    "sampling_options",
    "speed_line",
    "terminal_text",
]


def add_attention_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how the model is opened."""
    parser.add_argument("model", type=Path, metavar="MODEL.egs")
    group = parser.add_argument_group("attention")
    group.add_argument("--attention", default="exact", metavar="MODE", help="exact (default) or delta")
    group.add_argument(
        "--theta", type=float, default=0.6, metavar="T", help="delta: smaller changes of keys are not stored (0.6)"
    )
    group.add_argument(
        "--window", type=float, default=0.05, metavar="W", help="delta: share of the prompt that stays exact (0.05)"
    )
    group.add_argument("--sinks", type=int, default=0, metavar="N", help="delta: so many first tokens stay exact (0)")
    group.add_argument("--cache", metavar="TYPE", help="stored keys and values: s8, f16, f32 (s8; for delta f16)")
    group.add_argument("--context", type=int, metavar="N", help="tokens that fit (default: as the file says)")
    parser.add_argument("-t", "--threads", type=int, default=1, metavar="N", help="threads (default: 1)")
    parser.add_argument(
        "--backend", default="auto", help="auto (the fastest), numba, native (C), or reference (NumPy, slow)"
    )


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how the next token is chosen; what is not given is as the file says."""
    group = parser.add_argument_group("sampling")
    group.add_argument("--temperature", type=float, metavar="T", help="0 always takes the likeliest token")
    group.add_argument("--top-k", type=int, metavar="K", help="keep the K likeliest tokens (0: all)")
    group.add_argument("--top-p", type=float, metavar="P", help="keep the likeliest tokens of probability P (1: all)")
    group.add_argument(
        "--min-p", type=float, default=0.0, metavar="P", help="keep what has P times the best's (0: all)"
    )
    group.add_argument("--repetition-penalty", type=float, default=1.0, metavar="R", help="above 1: repeat less (1)")
    group.add_argument("--seed", type=int, metavar="N", help="the same seed gives the same text")
    group.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end at this text; repeatable")


def open_model(options: argparse.Namespace) -> LanguageModel:
    """Load the model as the options say."""
    from edge_sparse.llm.loading import load

    return load(
        options.model,
        attention=options.attention,
        theta=options.theta,
        window=options.window,
        sinks=options.sinks,
        cache=options.cache,
        context=options.context,
        threads=options.threads,
        backend=options.backend,
    )


def sampling_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of ``LanguageModel.generate``."""
    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed", "stop")
    return {name: getattr(options, name) for name in names}


def read_text(path: str) -> str:
    """Return the text of a file, of standard input for ``-``.

    Raises
    ------
    InputError
        ``TEXT_UNREADABLE``; ``TEXT_UTF8``: it is not UTF-8.
    """
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise InputError("TEXT_UNREADABLE", f"{path}: {error.strerror}", "check the path") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8: byte {data[error.start]:#04x} at {error.start}"
        raise InputError("TEXT_UTF8", message, "convert it: iconv -f latin1 -t utf-8") from error


def print_pieces(generation: Generation, console: Console) -> None:
    """Write an answer as it comes; Ctrl-C ends it."""
    try:
        for piece in generation:
            if not console.as_json:
                console.write(terminal_text(piece))
    except KeyboardInterrupt:
        generation.close()


def terminal_text(text: str) -> str:
    """Return a model's text without what could steer a terminal; lines and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def speed_line(generation: Generation) -> str:
    """Return how long the answer took."""
    stats = generation.stats
    reused = f" ({stats.reused_tokens} reused)" if stats.reused_tokens else ""
    rate = f", then {stats.tokens_per_second:.1f} tokens/s" if stats.tokens_per_second else ""
    return (
        f"{stats.prompt_tokens} tokens read{reused}, first token after {duration(stats.first_token_seconds)}; "
        f"{stats.generated_tokens} generated{rate} ({generation.finish}; seed {stats.seed})"
    )

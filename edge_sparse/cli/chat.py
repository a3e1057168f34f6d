"""Talk to a language model.

The conversation is written by the file's chat template, or as a plain dialogue without one. What was said before is not
computed again. Ctrl-C ends an answer, /reset forgets everything, Ctrl-D ends the program.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING

from edge_sparse.cli.console import Console
from edge_sparse.cli.llm_options import (
    add_attention_arguments,
    add_sampling_arguments,
    open_model,
    print_pieces,
    sampling_options,
    speed_line,
)
from edge_sparse.errors import EdgeSparseError, InputError

if TYPE_CHECKING:
    from edge_sparse.llm.generation import Generation
    from edge_sparse.llm.language_model import LanguageModel

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "talk to a language model"
EPILOG = """\
examples:
  edge-sparse chat llama.egs
  edge-sparse chat llama.egs --system "Answer in one sentence." --temperature 0.7
  printf 'Hello\\nAnd you?\\n' | edge-sparse chat llama.egs          one message a line

commands: /reset forgets the conversation, /stats tells the speed of the last answer, /quit or Ctrl-D ends.
When the context is full, the oldest part of the text is forgotten.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_attention_arguments(parser)
    parser.add_argument("--system", default="", metavar="TEXT", help="instructions before the first message")
    parser.add_argument("-n", "--tokens", type=int, default=512, metavar="N", help="tokens per answer at most (512)")
    add_sampling_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Answer line after line."""
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  gives input() a history and editing
    first = [{"role": "system", "content": options.system}] if options.system else []
    messages = list(first)
    with open_model(options) as model:
        _ = model.codec
        turns = []
        last = "nothing was answered yet"
        while (line := _next_line()) is not None:
            if line == "/quit":
                break
            if line == "/reset":
                messages = list(first)
                console.note("the conversation is forgotten")
            elif line == "/stats":
                console.note(f"{last}\n{model.skipped().text}")
            elif line:
                messages.append({"role": "user", "content": line})
                answer, last = _answer(model, messages, options, console)
                turns.append({"user": line, "assistant": answer})
        console.document(turns)
    return 0


def _next_line() -> str | None:
    """Return the next message, None at the end; Ctrl-C while typing only drops the line."""
    try:
        line = input("> " if sys.stdin.isatty() and sys.stdout.isatty() else "").strip()
    except EOFError:
        return None
    except KeyboardInterrupt:
        return ""
    except UnicodeDecodeError as error:
        raise InputError("TEXT_UTF8", "a line is not UTF-8", "check the terminal's encoding") from error
    return line


def _begun(
    model: LanguageModel, messages: list[dict[str, str]], options: argparse.Namespace, console: Console
) -> Generation:
    """Begin an answer; the oldest questions and answers are dropped until the rest fits into the context."""
    oldest = int(messages[0]["role"] == "system")
    while True:
        try:
            return model.chat(
                messages, max_tokens=options.tokens, stream=True, on_full="roll", **sampling_options(options)
            )
        except InputError as error:
            if error.code != "PROMPT_TOO_LONG" or len(messages) <= oldest + 1:
                raise
            del messages[oldest : oldest + 2]
            console.note("the context is full: the oldest question and its answer are forgotten")


def _answer(
    model: LanguageModel, messages: list[dict[str, str]], options: argparse.Namespace, console: Console
) -> tuple[str, str]:
    """Print the answer and add it to the messages; an error takes the question back, so that the talk can go on."""
    try:
        generation = _begun(model, messages, options, console)
        print_pieces(generation, console)
        if not console.as_json:
            console.write("\n")
    except InputError as error:
        messages.pop()
        if not sys.stdin.isatty():
            raise
        console.error(error)
        return "", "the last message failed"
    except EdgeSparseError:
        messages.pop()
        raise
    messages.append({"role": "assistant", "content": generation.text.strip()})
    return generation.text.strip(), speed_line(generation)

"""Continue a prompt with a language model.

The text appears as it is made. Then time to first token, tokens per second and what attention skipped are told on
stderr. An empty prompt lets the model begin by itself. Ctrl-C ends the answer.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from edge_sparse.cli.console import Console
from edge_sparse.cli.llm_options import (
    add_attention_arguments,
    add_sampling_arguments,
    open_model,
    print_pieces,
    read_text,
    sampling_options,
    speed_line,
)
from edge_sparse.errors import InputError

if TYPE_CHECKING:
    from edge_sparse.llm.generation import Generation

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "continue a prompt with a language model"
EPILOG = """\
examples:
  edge-sparse generate llama.egs -p "Once upon a time" -n 200
  edge-sparse generate llama.egs -p "Once" --temperature 0                     the same text every time
  edge-sparse generate llama.egs -p "Once" --temperature 0.8 --top-p 0.95 --seed 1
  edge-sparse generate llama.egs -p "Q: ..." --stop "Q:" --json                tokens, probabilities and times
  edge-sparse generate llama.egs -f long.txt --attention delta --theta 0.6     keys are stored as changes

Sampling options that are not given are as the file says. When the context is full, generation ends with an error that
names the numbers; --roll forgets the older half of the text instead and goes on.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_attention_arguments(parser)
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("-p", "--prompt", default="", metavar="TEXT", help="text to continue (default: none)")
    prompt.add_argument("-f", "--prompt-file", metavar="FILE", help="file with the prompt; - reads stdin")
    parser.add_argument("-n", "--tokens", type=int, metavar="N", help="tokens to generate at most (default: no limit)")
    parser.add_argument(
        "--roll", action="store_true", help="forget the older half of the text when the context is full"
    )
    add_sampling_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Stream the answer."""
    prompt = read_text(options.prompt_file) if options.prompt_file else options.prompt
    if options.roll and options.tokens is None:
        raise InputError("USAGE", "--roll needs -n, because a rolling context has no end", "add -n 200")
    with open_model(options) as model:
        generation = model.generate(
            prompt,
            max_tokens=options.tokens,
            stream=True,
            logprobs=options.json,
            on_full="roll" if options.roll else "error",
            **sampling_options(options),
        )
        try:
            _stream(generation, console)
        finally:
            if generation.tokens:
                console.note(f"{speed_line(generation)}\n{model.skipped().text}")
        console.document(
            {
                "prompt": prompt,
                "text": generation.text,
                "tokens": generation.tokens,
                "logprobs": generation.logprobs,
                "finish": generation.finish,
                "stats": generation.stats,
                "tokens_per_second": generation.stats.tokens_per_second,
                "attention": model.skipped(),
            }
        )
    return 0


def _stream(generation: Generation, console: Console) -> None:
    """Print pieces as they come; a line that was begun is ended whatever happens."""
    try:
        print_pieces(generation, console)
    finally:
        if not console.as_json and generation.text and sys.exc_info()[0] is not BrokenPipeError:
            console.write("\n")

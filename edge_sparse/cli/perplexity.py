"""Measure how well a language model predicts a text.

Perplexity is the exponential of the mean negative log-likelihood per token: the lower, the better. Compare numbers only
between models with the same tokenizer, on the same text, with the same window.
"""

from __future__ import annotations

import argparse

from edge_sparse.cli.console import Console
from edge_sparse.cli.llm_options import add_attention_arguments, open_model, read_text
from edge_sparse.cli.text import duration

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "measure how well a language model predicts a text"
EPILOG = """\
examples:
  edge-sparse perplexity llama.egs text.txt
  edge-sparse perplexity llama.egs text.txt --attention delta --theta 0.6      what delta attention costs
  edge-sparse perplexity llama.egs text.txt --length 512                       in windows of 512 tokens

The text is cut into windows of as many tokens as the context holds; each is predicted by itself.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_attention_arguments(parser)
    parser.add_argument("text", metavar="TEXT.txt", help="file in UTF-8; - reads stdin")
    parser.add_argument("--length", type=int, metavar="N", help="tokens per window (default: the context)")


def run(options: argparse.Namespace, console: Console) -> int:
    """Measure and print."""
    text = read_text(options.text)
    with open_model(options) as model, console.progress() as progress:
        result = model.perplexity(
            text, window=options.length, progress=lambda share: progress("predicting the text", share)
        )
    per_byte = result.loss * result.tokens / max(1, len(text.encode()))
    console.line(f"perplexity {result.perplexity:.4f} per token, loss {result.loss:.5f} nats ({per_byte:.5f} per byte)")
    unread = f"; {result.skipped:.1%} of key elements unchanged and skipped" if result.skipped else ""
    console.note(f"{result.tokens} tokens in {result.windows} window(s), {duration(result.seconds)}{unread}")
    console.document(
        {
            "perplexity": result.perplexity,
            "loss": result.loss,
            "loss_per_byte": per_byte,
            "tokens": result.tokens,
            "windows": result.windows,
            "seconds": result.seconds,
            "attention": options.attention,
            "skipped": result.skipped,
        }
    )
    return 0

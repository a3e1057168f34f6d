"""``edge-sparse convert`` for decoder language models: their options, and what is printed."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from edge_sparse.cli.console import Console
from edge_sparse.errors import InputError

__all__ = ["add_decoder_arguments", "convert_decoder"]

_STAGES = {
    "read": "reading the model",
    "pack": "pruning and packing weights",
    "write": "writing",
    "after": "measuring perplexity",
    "before": "measuring perplexity before",
}
#: Options of ``convert`` that mean nothing for a decoder, by the name of their value.
_OTHERS = (
    "scope",
    "pattern",
    "rearrange",
    "include_depthwise",
    "include_stem",
    "include_linear",
    "override",
    "layout",
    "batch",
    "labels",
    "image",
    "verify_inputs",
    "max_drop",
    "no_verify",
    "report",
)


def add_decoder_arguments(group: Any) -> None:
    """Declare the options that only decoders have."""
    kinds = ("f32", "f16", "s8", "s4")
    group.add_argument("--head-dtype", choices=kinds, help="type of the head's weights (default: as --dtype)")
    group.add_argument("--head-sparsity", type=float, metavar="SHARE", help="of the head (default: as --sparsity)")
    group.add_argument("--context", type=int, metavar="N", help="tokens that the caches hold (default: 8192 at most)")
    group.add_argument("--chunk", type=int, default=128, metavar="N", help="tokens that one run may bring (128)")
    group.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.json, SentencePiece .model, tok.bin")
    group.add_argument("--text", type=Path, metavar="FILE", help="held-out text to measure perplexity on")
    group.add_argument(
        "--perplexity",
        action=argparse.BooleanOptionalAction,
        help="measure before and after (default: if weights are pruned or rounded; of large models only after)",
    )


def convert_decoder(options: argparse.Namespace, defaults: argparse.Namespace, console: Console) -> int:
    """Convert, and print what came out.

    Parameters
    ----------
    options, defaults : Namespace
        As given, and as they would be without any option.
    """
    for name in _OTHERS:
        if getattr(options, name) != getattr(defaults, name):
            text = name.replace("_", "-")
            raise InputError("USAGE", f"--{text} means nothing for a language model", "leave it out")
    from edge_sparse.converters.decoder.convert import convert_decoder as convert

    with console.progress() as report:
        result = convert(
            options.source,
            None if options.dry_run else options.output,
            dtype=options.dtype,
            head_dtype=options.head_dtype,
            sparsity=options.sparsity,
            head_sparsity=options.head_sparsity,
            group=options.group,
            chunk=options.chunk,
            context=options.context,
            tokenizer=options.tokenizer,
            text=options.text,
            perplexity=options.perplexity,
            overwrite=options.force,
            progress=lambda stage, share: report(_STAGES[stage], share or None),
        )
    document = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    del document["model"]
    console.document(document)
    for line in str(result).splitlines():
        console.line(line)
    return 0

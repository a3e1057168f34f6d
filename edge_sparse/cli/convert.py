"""Convert a torch model or a language model to a small group-sparse file, and verify what it computes.

With --sparsity the weights are pruned by magnitude, in groups; without it, zeros that the model already has are found
and kept. The result is compared with the source after its masks were applied there; nothing is written when they
differ. Language models are read block by block; what pruning and rounding cost is measured as perplexity.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from edge_sparse.cli.console import Console
from edge_sparse.cli.convert_decoder import add_decoder_arguments, convert_decoder
from edge_sparse.cli.convert_options import parse_image, parse_overrides
from edge_sparse.errors import InputError
from edge_sparse.output_file import check_writable

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "convert a torch model or a language model to an .egs file"
EPILOG = """\
SOURCE is a program that torch.export.save wrote, or a function that returns (module, example inputs), or a decoder
language model: a Hugging Face folder (Llama, Mistral, Qwen2, Qwen3) or a llama2.c checkpoint:
  edge-sparse convert model.pt2 -o model.egs --sparsity 0.8 --group gs4x1
  edge-sparse convert package.module:function -o model.egs
  edge-sparse convert path/to/file.py:function -o model.egs
  edge-sparse convert Llama-3.2-1B-Instruct/ -o llama.egs --dtype s4 --sparsity 0.5 --group gs16x1
  edge-sparse convert stories260K.bin --tokenizer tok512.bin -o stories.egs

more examples:
  ... --override 'features.0*=dense' --override 'head*=sparsity:0.5,group:gs16x1'
  ... --image imagenet --labels labels.txt          so that `edge-sparse run --image` works
  ... --image 32x32,mean=0.485/0.456/0.406,std=0.229/0.224/0.225
  ... --report report.html                          one page: layers, masks, sizes, times
  ... --verify-inputs images.npz --max-drop 0.02    real inputs; at most 2 % of them may change their top class
  ... --dry-run                                     what would happen, layer by layer; writes nothing

A bare .pth holds weights without a network: write a function that builds the module and loads them.
"""


#: The converter's stages in words.
STAGES = {
    "read": "reading the model",
    "select": "choosing what to keep",
    "lower": "planning memory and steps",
    "verify": "comparing with the source",
    "measure": "timing the layers",
    "write": "writing",
}
#: What ``--json`` prints of the result.
REPORTED = ("path", "bytes", "dense_bytes", "density", "layers", "verification", "flushed", "warnings", "reports")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options, in the groups that the help shows."""
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("-o", "--output", type=Path, metavar="MODEL.egs", help="file to write")
    parser.add_argument("--force", action="store_true", help="replace an existing output file")
    parser.add_argument("--dry-run", action="store_true", help="check everything and list the layers, write nothing")
    _add_pruning(parser.add_argument_group("pruning"))
    _add_file(parser.add_argument_group("the file"))
    add_decoder_arguments(parser.add_argument_group("language models"))
    check = parser.add_argument_group("verification and report")
    check.add_argument("--verify-inputs", type=Path, metavar="X.npz", help="inputs to compare on, besides random ones")
    check.add_argument(
        "--max-drop", type=float, metavar="SHARE", help="fail when pruning changes the top class of more inputs"
    )
    check.add_argument("--no-verify", action="store_true", help="do not compare with the source")
    check.add_argument("--report", type=Path, metavar="OUT.html", help="write a page about the result, JSON beside it")


def _add_pruning(group: Any) -> None:
    group.add_argument("--sparsity", type=float, metavar="SHARE", help="share of weights to drop, for example 0.8")
    group.add_argument("--group", metavar="gsGx1", help="rows kept or dropped together: gs1x1, gs2x1 ... gs32x1")
    group.add_argument(
        "--scope",
        choices=("layer", "strip", "global"),
        default="layer",
        help="drop the same share in each layer (default) or in each strip of rows, or the least of all",
    )
    group.add_argument("--pattern", choices=("tap", "kernel"), default="tap", help="k x k: by tap, or whole kernels")
    group.add_argument(
        "--rearrange", action="store_true", help="permute channels first so that groups keep more magnitude"
    )
    group.add_argument("--include-depthwise", action="store_true", help="prune depthwise convolutions too")
    group.add_argument("--include-stem", action="store_true", help="prune the first convolution too")
    group.add_argument(
        "--include-linear", action=argparse.BooleanOptionalAction, default=True, help="prune linear layers (default)"
    )
    group.add_argument(
        "--override", action="append", default=[], metavar="'NAME*=...'", help="settings of the layers of that name"
    )


def _add_file(group: Any) -> None:
    group.add_argument("--dtype", choices=("f32", "f16", "s8", "s4"), default="f32", help="type of stored weights")
    group.add_argument("--layout", choices=("auto", "chw", "nhwc"), default="auto", help="layout of images inside")
    group.add_argument("--batch", type=int, metavar="N", help="images per run (default: as in the example inputs)")
    group.add_argument("--labels", type=Path, metavar="FILE.txt", help="class names, one per line")
    group.add_argument("--image", metavar="RECORD", help="imagenet, or HEIGHTxWIDTH[,resize=N,mean=..,std=..,grey,bgr]")


def run(options: argparse.Namespace, console: Console) -> int:
    """Check the options, convert, and print the summary."""
    if options.output is None and not options.dry_run:
        raise InputError("USAGE", "no output is named", "add -o model.egs, or --dry-run to only look")
    for path in filter(None, (options.output, options.report)):
        if not options.dry_run:
            check_writable(path, overwrite=options.force)
    from edge_sparse.converters.frontends.load_decoder import is_decoder

    if is_decoder(options.source):
        return convert_decoder(options, _defaults(), console)
    arguments = _arguments(options)
    from edge_sparse import convert
    from edge_sparse.converters.frontends.load_source import load_source

    # What the model's own code prints must not mix with the results.
    with contextlib.redirect_stdout(sys.stderr), console.progress() as report:
        report(STAGES["read"], None)
        source, example_inputs = load_source(options.source)

        def progress(stage: str, done: int, total: int) -> None:
            report(STAGES.get(stage, stage), done / total if total > 1 else None)

        result = convert(source, example_inputs, options.output, progress=progress, **arguments)
    console.document({name: getattr(result, name) for name in REPORTED})
    for line in str(result).splitlines():
        console.line(line)
    return 0


def _defaults() -> argparse.Namespace:
    """Return the options as they are when none is given."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["source"])


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "sparsity": options.sparsity,
        "group": options.group,
        "scope": options.scope,
        "pattern": options.pattern,
        "rearrange": options.rearrange,
        "include_depthwise": options.include_depthwise,
        "include_stem": options.include_stem,
        "include_linear": options.include_linear,
        "overrides": parse_overrides(options.override),
        "layout": options.layout,
        "dtype": options.dtype,
        "batch": options.batch,
        "labels": options.labels,
        "image": parse_image(options.image) if options.image else None,
        "overwrite": options.force,
        "verify": not options.no_verify,
        "verify_inputs": options.verify_inputs,
        "max_drop": options.max_drop,
        "report": options.report,
        "dry_run": options.dry_run,
    }

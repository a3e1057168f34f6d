"""Run a model on arrays or on pictures.

Arrays are .npy or .npz files and must have the shape and type that `edge-sparse inspect` shows. Pictures are
preprocessed as the file's image record says, and the most probable labels are printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.cli.arrays import check_output, read_inputs, write_arrays
from edge_sparse.cli.console import Console
from edge_sparse.cli.text import Table
from edge_sparse.errors import InputError
from edge_sparse.output_file import check_writable
from edge_sparse.session import Session, load

__all__ = ["EPILOG", "HELP", "add_arguments", "add_session_arguments", "run"]

HELP = "run a model on arrays or pictures"
EPILOG = """\
examples:
  edge-sparse run model.egs --input x.npy -o y.npy
  edge-sparse run model.egs --input left=a.npy --input right=b.npy -o out.npz
  edge-sparse run model.egs --image cat.jpg dog.png --top 3
  edge-sparse run model.egs --input x.npy --json        outputs as numbers, for machines

Without -o, shape and range of the outputs are printed. An output file is never replaced without --force.
"""


def add_session_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every command that makes a session offers."""
    parser.add_argument(
        "--backend", default="auto", help="auto (the fastest), numba, native (C), or reference (NumPy, slow)"
    )
    parser.add_argument("--plan", default="", metavar="NAME", help="plan of the file (default: the first)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", type=Path, metavar="MODEL.egs")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "-i", "--input", action="append", metavar="[NAME=]X.npy", help="an input; .npz files hold several by name"
    )
    source.add_argument("--image", nargs="+", type=Path, metavar="PICTURE", help="pictures to classify")
    parser.add_argument("-o", "--output", type=Path, metavar="Y.npy", help="where outputs go (.npy or .npz)")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="labels per picture (default: 5)")
    parser.add_argument("-t", "--threads", type=int, default=1, metavar="N", help="threads (default: 1)")
    parser.add_argument("--force", action="store_true", help="replace an existing output file")
    add_session_arguments(parser)


def run(options: argparse.Namespace, console: Console) -> int:
    """Check everything that can fail cheaply, then run."""
    if options.image and options.output:
        raise InputError("USAGE", "-o goes with --input, not with --image", "print labels with --json instead")
    if options.output:
        check_writable(options.output, overwrite=options.force)
    with load(options.model, backend=options.backend, threads=options.threads, plan=options.plan) as session:
        if options.image:
            _classify(session, options, console)
        else:
            _run_arrays(session, options, console)
    return 0


def _classify(session: Session, options: argparse.Namespace, console: Console) -> None:
    documents, results = [], []
    with console.progress() as progress:
        for number, path in enumerate(options.image):
            if number:
                progress("classifying pictures", number / len(options.image))
            results.append((path, session.classify(path, options.top)))
    for path, labels in results:
        rows = [(label, f"{probability:.1%}") for label, probability in labels]
        console.table(Table(("label", "probability"), rows, frozenset({"probability"}), title=str(path)))
        named = [{"label": label, "probability": probability} for label, probability in labels]
        documents.append({"image": str(path), "labels": named})
    console.document(documents)


def _run_arrays(session: Session, options: argparse.Namespace, console: Console) -> None:
    names = [port.name for port in session.outputs]
    if options.output:
        check_output(options.output, names)
    outputs = session.run(read_inputs(options.input, [port.name for port in session.inputs]))
    if options.output:
        write_arrays(options.output, outputs, overwrite=options.force)
        console.note(f"written: {options.output}")
        console.document({name: {"shape": array.shape, "dtype": str(array.dtype)} for name, array in outputs.items()})
        return
    rows = [_row(name, array) for name, array in outputs.items()]
    columns = ("output", "shape", "dtype", "min", "max", "mean", "first values")
    console.table(Table(columns, rows, frozenset({"min", "max", "mean"})))
    console.document({name: {"shape": array.shape, "values": array.reshape(-1)} for name, array in outputs.items()})


def _row(name: str, array: npt.NDArray[Any]) -> tuple[str, ...]:
    shape = "x".join(map(str, array.shape))
    if not array.size:
        return (name, shape, str(array.dtype), "", "", "", "")
    numbers = [f"{value:.6g}" for value in (array.min(), array.max(), np.mean(array, dtype=np.float64))]
    first = " ".join(f"{value:.4g}" for value in array.reshape(-1)[:4])
    return (name, shape, str(array.dtype), *numbers, first + (" ..." if array.size > 4 else ""))

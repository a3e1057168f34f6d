"""Show what is in a model file: inputs, outputs, layers with their patterns and sizes, labels and metadata.

The file is validated first. Control characters in its names are shown as escapes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_sparse.cli.console import Console
from edge_sparse.cli.text import Table, size
from edge_sparse.plan import Model, Plan
from edge_sparse.port import Port
from edge_sparse.summary import ModelSummary, summarise

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "show what is in a model file"
EPILOG = """\
examples:
  edge-sparse inspect model.egs               the layers, their patterns, densities and sizes
  edge-sparse inspect model.egs --steps       what a run does, step by step
  edge-sparse inspect model.egs --tensors     where every tensor lies in memory
  edge-sparse inspect model.egs --json        everything, for machines

A pattern gs4x1 means: groups of 4 output rows x 1 column are kept or dropped together. Density is the kept share.
Bytes are those of values, scales and index; dense bytes those of all weights in float32.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", type=Path, metavar="MODEL.egs")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--matrices", action="store_true", help="table of the stored matrices (the default)")
    which.add_argument("--steps", action="store_true", help="table of every plan's steps")
    which.add_argument("--tensors", action="store_true", help="table of all tensors")


def run(options: argparse.Namespace, console: Console) -> int:
    """Print the summary and one table."""
    from edge_sparse.format.reader import read_model

    model = read_model(options.model)
    summary = summarise(model, options.model.stat().st_size)
    console.document(_document(model, summary))
    _head(options.model.name, summary, console)
    if options.steps:
        for plan in model.plans:
            console.table(_steps(plan))
    elif options.tensors:
        console.table(_tensors(model))
    else:
        console.table(_matrices(summary))
    return 0


def _head(name: str, summary: ModelSummary, console: Console) -> None:
    console.line(f"{name}: {size(summary.file_bytes)}")
    instead = f"{size(summary.matrix_bytes)} instead of {size(summary.dense_bytes)} as dense float32"
    console.line(f"matrices: {summary.density:.1%} of the weights kept, {instead}")
    console.line(f"other constants: {size(summary.constant_bytes)}")
    for plan in summary.plans:
        console.line(f"plan {plan.name}: {plan.steps} steps, {size(plan.arena_bytes)} of activations")
        for role, ports in (("input", plan.inputs), ("output", plan.outputs)):
            for port in ports:
                console.line(f"  {role} {port.name}: {port.dtype} {_shape(port)} {port.layout}")
    if summary.state_bytes:
        console.line(f"state: {size(summary.state_bytes)}")
    if summary.image:
        image = summary.image
        how = f"shorter side to {image.resize}, centre" if image.resize else "stretched to"
        colours = "grey" if image.channels == 1 else "BGR" if image.bgr else "RGB"
        numbers = f"mean {_numbers(image.mean)}, std {_numbers(image.std)}"
        console.line(f"image: {how} {image.height} x {image.width}, {colours} / 255, {numbers}")
    if summary.labels:
        shown = ", ".join(summary.labels[:5])
        console.line(f"labels: {len(summary.labels)} ({shown}{', ...' if len(summary.labels) > 5 else ''})")
    for key, value in summary.metadata.items():
        console.line(f"{key}: {value}")
    console.line()


def _numbers(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:.6g}" for value in values)


def _shape(port: Port) -> str:
    lengths = [f"<={n}" if axis == port.symbol_axis else str(n) for axis, n in enumerate(port.shape)]
    return f"({', '.join(lengths)})"


def _matrices(summary: ModelSummary) -> Table:
    rows = [
        (
            matrix.step or matrix.name,
            f"{matrix.rows} x {matrix.columns}",
            f"{matrix.kernel[0]}x{matrix.kernel[1]}",
            matrix.pattern,
            matrix.dtype,
            f"{matrix.density:.1%}",
            size(matrix.bytes),
            size(matrix.dense_bytes),
            f"{matrix.bytes / max(1, matrix.dense_bytes):.1%}",
        )
        for matrix in summary.matrices
    ]
    share = f"{summary.matrix_bytes / max(1, summary.dense_bytes):.1%}"
    total = ("total", "", "", "", "", f"{summary.density:.1%}")
    return Table(
        ("layer", "rows x columns", "kernel", "pattern", "dtype", "density", "bytes", "dense bytes", "share"),
        rows,
        frozenset({"rows x columns", "density", "bytes", "dense bytes", "share"}),
        total=(*total, size(summary.matrix_bytes), size(summary.dense_bytes), share),
    )


def _steps(plan: Plan) -> Table:
    def names(numbers: tuple[int, ...]) -> str:
        return ", ".join(plan.tensors[n].name or f"#{n}" for n in numbers if n >= 0)

    rows = [
        (
            str(number),
            step.op.name.lower(),
            step.name,
            names(step.inputs),
            names(step.outputs),
            "x".join(map(str, plan.tensors[step.outputs[0]].shape)) if step.outputs else "",
        )
        for number, step in enumerate(plan.steps)
    ]
    return Table(("#", "op", "step", "reads", "writes", "shape"), rows, frozenset({"#"}), title=f"plan {plan.name}")


def _tensors(model: Model) -> Table:
    rows = [
        (
            str(number),
            tensor.name,
            tensor.dtype.name.lower(),
            "x".join(map(str, tensor.shape)),
            tensor.layout.name.lower(),
            tensor.storage.name.lower(),
            f"{tensor.extent[0]}..{tensor.extent[1]}",
            ",".join(map(str, tensor.strides)),
        )
        for number, tensor in enumerate(model.tensors)
    ]
    columns = ("#", "tensor", "dtype", "shape", "layout", "storage", "bytes", "strides")
    return Table(columns, rows, frozenset({"#"}))


def _document(model: Model, summary: ModelSummary) -> dict[str, object]:
    steps = {
        plan.name: [
            {
                "op": step.op,
                "name": step.name,
                "inputs": step.inputs,
                "outputs": step.outputs,
                "attributes": step.attributes,
            }
            for step in plan.steps
        ]
        for plan in model.plans
    }
    tensors = [
        {
            "name": tensor.name,
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "layout": tensor.layout,
            "storage": tensor.storage,
            "offset": tensor.offset,
            "strides": tensor.strides,
            "extent": tensor.extent,
        }
        for tensor in model.tensors
    ]
    totals = {
        "matrix_bytes": summary.matrix_bytes,
        "dense_bytes": summary.dense_bytes,
        "density": summary.density,
    }
    return {"summary": summary, "totals": totals, "steps": steps, "tensors": tensors}

"""Time a model on this machine, beside the limit of its multiply-add units.

The minimum is what the machine can do, the median what one gets; the first run is told apart because it finds cold
caches. GFLOP/s count stored weights only, so a dropped weight is no work.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edge_sparse.benchmark import BenchmarkReport, Timing, benchmark
from edge_sparse.cli.bench_decode import add_decode_arguments, decode_head, decode_tables
from edge_sparse.cli.console import Console
from edge_sparse.cli.run import add_session_arguments
from edge_sparse.cli.text import Table, duration, printable, size

__all__ = ["EPILOG", "HELP", "add_arguments", "run"]

HELP = "time a model on this machine"
EPILOG = """\
examples:
  edge-sparse bench model.egs                  one thread, 50 runs
  edge-sparse bench model.egs -t 1,2 --steps   two numbers of threads, and every step
  edge-sparse bench model.egs -r 500 -o csv    for a spreadsheet

language models:
  edge-sparse bench llama.egs --decode --depth 0,2048,8192 -t 1,2
  edge-sparse bench llama.egs --decode --prefill 512 --cache f16

A token reads all weights and the whole cache once: GB/s say how fast, and how much of what as many threads read at
best (more than all of it: a small model stays in the processor's caches). Attention caches are filled with random
numbers, which takes no time and changes none; delta attention reads a random prompt.

Close other programs first, and compare minima only within one run of this command.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("model", type=Path, metavar="MODEL.egs")
    parser.add_argument("-t", "--threads", type=_counts, default=[1], metavar="N[,N]", help="threads (default: 1)")
    parser.add_argument("-r", "--repeats", type=int, default=50, metavar="N", help="timed runs (default: 50)")
    parser.add_argument("--warmup", type=int, default=5, metavar="N", help="runs before them (default: 5)")
    parser.add_argument("--steps", action="store_true", help="also time every step")
    parser.add_argument(
        "-o", "--format", choices=("text", "md", "csv", "json"), default="text", help="form of the results"
    )
    add_session_arguments(parser)
    add_decode_arguments(parser)


def _counts(text: str) -> list[int]:
    counts = [int(part) for part in text.split(",")]
    if len(set(counts)) != len(counts):
        raise ValueError(text)
    return counts


def run(options: argparse.Namespace, console: Console) -> int:
    """Measure and print."""
    console.as_json = console.as_json or options.format == "json"
    if options.decode:
        decoded, decoded_tables = decode_tables(options, console)
        return _print(decoded, decode_head(decoded), decoded_tables, options.format, console)
    with console.progress() as progress:
        report = benchmark(
            options.model,
            threads=options.threads,
            repeats=options.repeats,
            warmup=options.warmup,
            backend=options.backend,
            plan=options.plan,
            steps=options.steps,
            progress=progress,
        )
    tables = [_timings(report), *(_steps(timing) for timing in report.timings if timing.steps)]
    return _print(report, _head(report), tables, options.format, console)


def _print(report: object, head: Iterable[str], tables: Sequence[Table], form: str, console: Console) -> int:
    console.document(report)
    if console.as_json:
        return 0
    if form == "csv":
        # The tables differ in their columns, so a spreadsheet gets only the last ones: steps where they were asked for.
        for table in tables[1:] or tables:
            console.write(_csv(table))
        return 0
    for line in head:
        console.line(line)
    for table in tables:
        console.line()
        if form == "md":
            console.write(_markdown(table) + "\n")
        else:
            console.table(table)
    return 0


def _head(report: BenchmarkReport) -> Iterator[str]:
    yield f"{report.name}: {size(report.file_bytes)}, {size(report.arena_bytes)} of activations"
    yield f"processor: {report.processor}; {report.cores} usable core(s)"
    if report.peak_gflops is not None:
        yield f"measured multiply-add limit of one core: {report.peak_gflops:.0f} GFLOP/s"
    yield "versions: " + ", ".join(f"{name} {version}" for name, version in report.versions.items())
    yield f"backend {report.backend}; {report.repeats} runs after {report.warmup} warm-up runs; batch as converted"
    yield f"reading and checking the file: {duration(report.read_seconds)}"
    yield f"peak memory of this process: {size(report.peak_memory_bytes)}"
    yield f"work: {report.flops / 1e9:.4g} GFLOP per run on stored weights"


def _timings(report: BenchmarkReport) -> Table:
    rows = [
        (
            str(timing.threads),
            *(f"{seconds * 1e3:.3f}" for seconds in (timing.min_seconds, timing.median_seconds)),
            f"{timing.mean_seconds * 1e3:.3f}",
            f"{timing.deviation_seconds * 1e3:.3f}",
            f"{timing.prepare_seconds * 1e3:.1f}",
            f"{timing.first_seconds * 1e3:.3f}",
            f"{timing.gflops:.1f}",
            "" if timing.peak_share is None else f"{timing.peak_share:.1%}",
        )
        for timing in report.timings
    ]
    columns = (
        "threads",
        "min ms",
        "median ms",
        "mean ms",
        "stdev ms",
        "load ms",
        "first run ms",
        "GFLOP/s",
        "of limit",
    )
    return Table(columns, rows, frozenset(columns))


def _steps(timing: Timing) -> Table:
    total = sum(step.seconds_min for step in timing.steps) or 1.0
    rows, before = [], 0.0
    for step in timing.steps:
        before += step.seconds_min
        speed = step.flops / step.seconds_min / 1e9 if step.flops and step.seconds_min else 0.0
        rows.append(
            (
                str(step.index),
                step.name,
                step.op.name.lower(),
                step.kernel,
                f"{step.seconds_min * 1e6:.1f}",
                f"{step.seconds_median * 1e6:.1f}",
                f"{step.seconds_min / total:.1%}",
                f"{before / total:.1%}",
                f"{speed:.1f}" if speed else "",
            )
        )
    columns = ("#", "step", "op", "kernel", "min us", "median us", "share", "cumulative", "GFLOP/s")
    numeric = frozenset({"#", "min us", "median us", "share", "cumulative", "GFLOP/s"})
    return Table(columns, rows, numeric, title=f"steps, {timing.threads} thread(s)")


def _markdown(table: Table) -> str:
    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(printable(cell).replace("|", "\\|") for cell in cells) + " |"

    rule = "|" + "|".join("---:" if name in table.numeric else "---" for name in table.columns) + "|"
    title = [f"**{table.title}**", ""] if table.title else []
    return "\n".join([*title, line(table.columns), rule, *(line(tuple(row)) for row in table.rows)])


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(table.columns)
    writer.writerows([printable(cell) for cell in row] for row in table.rows)
    return text.getvalue()

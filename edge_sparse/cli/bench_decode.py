"""``edge-sparse bench --decode``: its options, and the tables of what was measured."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_sparse.cli.console import Console
from edge_sparse.cli.text import Table, duration, size
from edge_sparse.errors import InputError

if TYPE_CHECKING:
    from edge_sparse.llm.decode_benchmark import DecodeReport

__all__ = ["add_decode_arguments", "decode_head", "decode_tables"]


def add_decode_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that only language models have."""
    group = parser.add_argument_group("language models")
    group.add_argument("--decode", action="store_true", help="time single tokens of a language model")
    group.add_argument("--depth", type=_numbers, default=[0], metavar="N[,N]", help="tokens in the caches (default: 0)")
    group.add_argument("--tokens", type=int, default=32, metavar="N", help="timed tokens at every depth (default: 32)")
    group.add_argument("--prefill", type=int, default=0, metavar="N", help="also time a prompt of N tokens")
    group.add_argument("--attention", choices=("exact", "delta"), default="exact", help="see generate (default: exact)")
    group.add_argument("--cache", choices=("s8", "f16", "f32"), help="type of the caches (default: s8; delta: f16)")
    group.add_argument("--theta", type=float, default=0.6, help="delta attention's threshold (default: 0.6)")
    group.add_argument("--window", type=float, default=0.05, help="its window, a share of the depth (default: 0.05)")


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def decode_tables(options: argparse.Namespace, console: Console) -> tuple[DecodeReport, list[Table]]:
    """Measure; return the report and one table for single tokens and, if asked, one for the prompt."""
    from edge_sparse.llm.decode_benchmark import decode_benchmark
    from edge_sparse.llm.loading import attention_mode

    if options.steps or options.plan:
        raise InputError("USAGE", "--decode has no --steps and no --plan", "leave them out")
    with console.progress() as progress:
        report = decode_benchmark(
            options.model,
            attention=attention_mode(
                options.attention, theta=options.theta, window=options.window, cache=options.cache
            ),
            depths=options.depth,
            threads=options.threads,
            tokens=options.tokens,
            prefill=options.prefill,
            backend=options.backend,
            progress=progress,
        )
    return report, [_decoding(report), *([_prefill(report)] if report.prefill else [])]


def decode_head(report: DecodeReport) -> Iterator[str]:
    """Say what was measured, and where."""
    cache = size(report.cache_bytes_per_token)
    yield f"{report.name}: {size(report.weight_bytes)} of weights, {cache} of cache per token"
    yield f"{report.attention}; room for {report.context} tokens in {size(report.state_bytes)}"
    yield f"processor: {report.processor}; {report.cores} usable core(s)"
    for threads, rate in report.bandwidth.items():
        yield f"measured memory reads of {threads} thread(s): {rate:.1f} GB/s"
    yield "versions: " + ", ".join(f"{name} {version}" for name, version in report.versions.items())
    yield f"backend {report.backend}; reading and checking the file: {duration(report.read_seconds)}"
    yield f"peak memory of this process: {size(report.peak_memory_bytes)}"


def _decoding(report: DecodeReport) -> Table:
    rows = [
        (
            str(timing.threads),
            str(timing.depth),
            f"{timing.min_seconds * 1e3:.3f}",
            f"{timing.median_seconds * 1e3:.3f}",
            f"{1 / timing.min_seconds:.1f}",
            f"{timing.tokens_per_second:.1f}",
            "" if timing.gigabytes_per_second is None else f"{timing.gigabytes_per_second:.1f}",
            "" if timing.bandwidth_share is None else f"{timing.bandwidth_share:.0%}",
        )
        for timing in report.decoding
    ]
    columns = ("threads", "depth", "min ms", "median ms", "best tokens/s", "tokens/s", "GB/s", "of limit")
    return Table(columns, rows, frozenset(columns), title="one token after another")


def _prefill(report: DecodeReport) -> Table:
    rows = [
        (
            str(timing.threads),
            str(timing.tokens),
            f"{timing.min_seconds * 1e3:.1f}",
            f"{timing.median_seconds * 1e3:.1f}",
            f"{timing.tokens_per_second:.1f}",
        )
        for timing in report.prefill
    ]
    columns = ("threads", "tokens", "min ms", "median ms", "tokens/s")
    return Table(columns, rows, frozenset(columns), title="a prompt")

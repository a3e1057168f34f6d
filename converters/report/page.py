"""A report as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_sparse.converters.comparison import Comparison
from edge_sparse.converters.report.data import ConversionReport

from edge_sparse.errors import MissingExtraError

__all__ = ["Bar", "bars", "report_html"]

TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class Bar:
    """A bar of the chart; lengths are shares of the longest one, 0 to 1."""

    label: str
    converted: float
    dense: float
    title: str


def bars(report: ConversionReport) -> list[Bar]:
    """Return one bar per layer with a measured time, and one for all other steps."""
    times = [(layer.row.name, layer.seconds_min, layer.dense_seconds) for layer in report.layers]
    if report.other is not None:
        times.append(("all other steps", report.other.seconds_min, report.other.dense_seconds))
    known = [(name, t, dense) for name, t, dense in times if t is not None and dense is not None]
    longest = max((max(t, dense) for _, t, dense in known), default=0.0) or 1.0
    return [
        Bar(name, t / longest, dense / longest, f"{name}: {duration(t)}, dense {duration(dense)}")
        for name, t, dense in known
    ]


def report_html(report: ConversionReport) -> str:
    """Return the page. Everything in the report is escaped; the page loads nothing from anywhere.

    Raises
    ------
    MissingExtraError
        jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise MissingExtraError(
            "EXTRA_MISSING", "the HTML report needs jinja2", "pip install 'edge_sparse[report]'"
        ) from error
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "size": size,
        "duration": duration,
        "share": share,
        "error": error_text,
        "shape": shape_text,
    }
    template = environment.from_string(TEMPLATE.read_text("utf-8"))
    return str(template.render(report=report, bars=bars(report), facts=facts(report)))


def facts(report: ConversionReport) -> list[dict[str, str]]:
    """Return the numbers at the top of the page: what it is, the number, and what it compares with."""
    saved = report.dense_bytes / report.bytes if report.bytes else 1.0
    result = [
        {
            "name": "File",
            "value": size(report.bytes),
            "note": f"{saved:.1f}× smaller than {size(report.dense_bytes)} dense",
        },
        {"name": "Weights kept", "value": share(report.density), "note": _layers_note(report)},
    ]
    if report.seconds and report.dense_seconds:
        gain = report.dense_seconds / report.seconds
        note = f"{gain:.2f}× the speed of {duration(report.dense_seconds)} dense"
        result.append({"name": "Time per run", "value": duration(report.seconds), "note": note})
    if report.verification is not None:
        found = report.verification.conversion
        note = f"of the largest output, over {found.samples} samples"
        result.append({"name": "Conversion error", "value": error_text(found.relative_error), "note": note})
        result += _pruning_fact(report.verification.pruning, report.verification.given_inputs)
    return result


def _layers_note(report: ConversionReport) -> str:
    sparse = sum(layer.row.sparse for layer in report.layers)
    return f"{sparse} of {len(report.layers)} layers run sparse"


def _pruning_fact(pruning: Comparison | None, given: bool) -> list[dict[str, str]]:
    if pruning is None:
        return []
    inputs = f"{pruning.samples} {'given' if given else 'random'} inputs"
    if pruning.top1_agreement is None:
        note = f"of the largest output, on {inputs}"
        return [{"name": "Change by pruning", "value": error_text(pruning.relative_error), "note": note}]
    note = f"top result as before pruning, on {inputs}"
    return [{"name": "Agreement", "value": share(pruning.top1_agreement), "note": note}]


def size(count: float) -> str:
    """Return bytes with a unit."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def duration(seconds: float | None) -> str:
    """Return seconds with a unit, or a dash."""
    if seconds is None:
        return "–"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} µs"


def share(value: float | None) -> str:
    """Return a share in per cent, or a dash."""
    return "–" if value is None else f"{value:.1%}"


def error_text(value: float | None) -> str:
    """Return an error in scientific notation, or a dash."""
    if value is None:
        return "–"
    return f"{value:.1e}" if value else "0"


def shape_text(shape: Sequence[Any]) -> str:
    """Return a shape as ``64×32×1×1``."""
    return "×".join(str(length) for length in shape)

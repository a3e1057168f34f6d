"""What ``convert`` returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge_sparse.converters.comparison import Comparison
from edge_sparse.converters.layer_table import LayerRow
from edge_sparse.converters.pruning.permute import Gain
from edge_sparse.converters.verify import Verification

from edge_sparse.plan import Model
from edge_sparse.session import Session, load

__all__ = ["ConvertResult"]


@dataclass(frozen=True)
class ConvertResult:
    """A finished conversion; ``print(result)`` shows a summary.

    Parameters
    ----------
    path : Path, optional
        The file; None after a dry run or without an output.
    bytes : int
        Size of the file, written or not.
    dense_bytes : int
        Size that the file would have with all weights, as float32.
    layers : tuple of LayerRow
        Convolution and linear layers, in order of execution.
    verification : Verification, optional
        None after a dry run or with ``verify=False``. ``verification.pruning`` is the change that pruning made.
    gains : tuple of Gain
        What rearranging the channels brought, per block of channels that move together.
    flushed : int
        Weights too small for a normal float32 that were set to zero.
    warnings : tuple of str
        What a person should know.
    reports : tuple of Path
        The HTML and JSON report, if one was asked for.
    model : Model
        As read back from the file's bytes.
    """

    path: Path | None
    bytes: int
    dense_bytes: int
    layers: tuple[LayerRow, ...]
    verification: Verification | None
    gains: tuple[Gain, ...]
    flushed: int
    warnings: tuple[str, ...]
    reports: tuple[Path, ...] = ()
    model: Model = field(repr=False, default_factory=lambda: Model(()))

    @property
    def density(self) -> float:
        """Stored share of the weights of all layers."""
        weights = sum(row.dense_bytes for row in self.layers)
        return sum(row.density * row.dense_bytes for row in self.layers) / weights if weights else 1.0

    def session(self, *, backend: str = "auto", threads: int | None = None) -> Session:
        """Open the converted model, from its file if it was written."""
        if self.path is not None:
            return load(self.path, backend=backend, threads=threads)
        return Session.from_model(self.model, backend=backend, threads=threads)

    def table(self) -> str:
        """Return the layers as a text table: pattern, stored share, bytes before and after, and why."""
        header = ("layer", "operator", "weights", "pattern", "kept", "bytes", "was", "why")
        cells = [
            (
                row.name,
                row.operator,
                "x".join(map(str, row.weight_shape)),
                row.pattern,
                f"{row.density:.1%}",
                f"{row.bytes:,}",
                f"{row.dense_bytes:,}",
                row.reason,
            )
            for row in self.layers
        ]
        widths = [max(len(line[column]) for line in (header, *cells)) for column in range(len(header))]
        right = {4, 5, 6}
        return "\n".join(
            "  ".join(
                cell.rjust(width) if column in right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in (header, *cells)
        )

    def __str__(self) -> str:
        sparse = [row for row in self.layers if row.sparse]
        target = f"wrote {self.path}" if self.path else "nothing written"
        lines = [
            self.table(),
            "",
            f"{target}: {self.bytes:,} bytes, {self.bytes / max(1, self.dense_bytes):.1%} of the dense float32 file",
            f"{len(sparse)} of {len(self.layers)} layers run sparse, {self.density:.1%} of all weights are stored",
        ]
        lines += _gain_lines(self.gains)
        lines += _verification_lines(self.verification)
        lines += [f"report: {path}" for path in self.reports]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def _gain_lines(gains: tuple[Gain, ...]) -> list[str]:
    channels = sum(gain.channels for gain in gains)
    if not channels:
        return []
    before = sum(gain.before * gain.channels for gain in gains) / channels
    after = sum(gain.after * gain.channels for gain in gains) / channels
    return [f"rearranged {channels} channels: kept weights hold {after:.1%} of the magnitude instead of {before:.1%}"]


def _verification_lines(verification: Verification | None) -> list[str]:
    if verification is None:
        return ["not verified"]
    lines = [f"verified against the source with the same weights dropped: {_describe(verification.conversion)}"]
    if verification.layer_errors:
        worst = max(verification.layer_errors.values())
        count = len(verification.layer_errors)
        lines.append(f"layer by layer: {count} outputs compared, the worst differs by {worst:.1e} of its largest value")
    if verification.rounding is not None:
        lines.append(f"rounding of the stored weights: {_describe(verification.rounding)}")
    if verification.pruning is not None:
        inputs = "the given inputs" if verification.given_inputs else "random inputs"
        lines.append(f"change made by pruning, on {inputs}: {_describe(verification.pruning)}")
    return lines


def _describe(comparison: Comparison) -> str:
    text = f"max error {comparison.max_error:.2e} ({comparison.relative_error:.1e} of the largest output)"
    if comparison.top1_agreement is not None:
        text += f", top-1 agreement {comparison.top1_agreement:.1%}"
    return f"{text} over {comparison.samples} samples"

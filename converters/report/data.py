"""All that a report shows, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_sparse.converters.layer_table import LayerRow
from edge_sparse.converters.pruning.permute import Gain
from edge_sparse.converters.verify import Verification

__all__ = ["ConversionReport", "LayerReport", "OtherSteps"]


@dataclass(frozen=True)
class LayerReport:
    """One layer. Times are seconds per run of the whole model, None where nothing could be measured.

    Parameters
    ----------
    row : LayerRow
        What the conversion made of the layer.
    seconds_min, seconds_median : float, optional
        Of the layer as converted.
    dense_seconds : float, optional
        Minimum with all weights kept.
    relative_error : float, optional
        Largest error of the layer's output against the masked source, relative to its largest magnitude. None where
        the source has no such value.
    speed_break_even : float, optional
        Below this density the sparse form is faster than the dense one, by the measured times.
    mask : str
        Picture of the kept weights as a data URI; empty for dense layers.
    """

    row: LayerRow
    seconds_min: float | None
    seconds_median: float | None
    dense_seconds: float | None
    relative_error: float | None
    speed_break_even: float | None
    mask: str


@dataclass(frozen=True)
class OtherSteps:
    """Time of all steps that are no convolution or linear layer."""

    count: int
    seconds_min: float
    seconds_median: float
    dense_seconds: float


@dataclass(frozen=True)
class ConversionReport:
    """A conversion: what was asked, what came out, and where it was measured.

    Sizes are bytes, times seconds per run on one thread. ``seconds`` and ``dense_seconds`` are sums of the minima of
    all steps.
    """

    model: str
    bytes: int
    dense_bytes: int
    density: float
    layers: tuple[LayerReport, ...]
    other: OtherSteps | None
    seconds: float | None
    dense_seconds: float | None
    verification: Verification | None
    gains: tuple[Gain, ...]
    options: Mapping[str, object]
    machine: str
    backend: str
    versions: Mapping[str, str]
    warnings: tuple[str, ...]

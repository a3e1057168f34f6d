"""Gathers a report: the result of a conversion, measured times, errors and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from edge_sparse.converters.layer_errors import Truncation, layer_errors
from edge_sparse.converters.layer_table import LayerRow
from edge_sparse.converters.options import ConvertOptions
from edge_sparse.converters.pruning.layers import layers_of
from edge_sparse.converters.report.data import ConversionReport, LayerReport, OtherSteps
from edge_sparse.converters.report.mask_picture import mask_png, png_data_uri
from edge_sparse.converters.report.timing import LayerTime, Timing, break_even_by_speed, measure
from edge_sparse.converters.result import ConvertResult
from edge_sparse.converters.selection import Selection
from edge_sparse.converters.source import Source
from edge_sparse.converters.verify import verification_backend
from edge_sparse.converters.verify_inputs import random_batches

from edge_sparse.machine import processor_name, versions
from edge_sparse.plan import DType
from edge_sparse.session import Session

__all__ = ["build_report"]

Count = Callable[[int, int], None]


def build_report(
    masked: Source,
    selection: Selection,
    options: ConvertOptions,
    result: ConvertResult,
    count: Count = lambda done, total: None,
) -> ConversionReport:
    """Measure a converted model and return its report.

    Parameters
    ----------
    masked : Source
        The source with the dropped weights zero; layers' errors are measured against it.
    selection : Selection
        What was lowered.
    options : ConvertOptions
        What was asked for.
    result : ConvertResult
        What came out.
    count : callable
        Called with (done, total) while models are timed.
    """
    timing = measure(selection, result.model, count)
    errors = _errors(masked, selection, options.value_dtype, result)
    pictures = _pictures(selection)
    layers = tuple(_layer(row, timing, errors.get(row.name), pictures.get(row.name, "")) for row in result.layers)
    names = {row.name for row in result.layers}
    return ConversionReport(
        model=result.path.stem if result.path else str(result.model.metadata.get("name", "model")),
        bytes=result.bytes,
        dense_bytes=result.dense_bytes,
        density=result.density,
        layers=layers,
        other=None if timing is None else _other(timing, names),
        seconds=None if timing is None else sum(time.minimum for time in timing.converted.values()),
        dense_seconds=None if timing is None else sum(time.minimum for time in timing.dense.values()),
        verification=result.verification,
        gains=result.gains,
        options=options.record(),
        machine=processor_name(),
        backend="" if timing is None else timing.backend,
        versions=versions(),
        warnings=result.warnings,
    )


def _errors(masked: Source, selection: Selection, dtype: DType, result: ConvertResult) -> Mapping[str, float]:
    """Errors of the layers as stored; verification has measured them for float32."""
    if result.verification is not None and dtype is DType.F32:
        return result.verification.layer_errors
    backend = verification_backend(dtype)
    with Session.from_model(result.model, backend=backend) as session:
        arrays = random_batches(session.inputs)[0]
    layout = str(result.model.metadata.get("layout", "auto"))
    return layer_errors(Truncation(masked, selection, layout, dtype, backend, arrays))


def _pictures(selection: Selection) -> dict[str, str]:
    pictures = {}
    for layer in layers_of(selection.graph):
        if selection.patterns[layer.node].sparse:
            matrices = layer.matrices(selection.graph)
            kept = matrices.reshape(-1, matrices.shape[-1]) != 0
            pictures[layer.node] = png_data_uri(mask_png(np.asarray(kept)))
    return pictures


def _layer(row: LayerRow, timing: Timing | None, error: float | None, mask: str) -> LayerReport:
    if timing is None:
        return LayerReport(row, None, None, None, error, None, mask)
    nothing = LayerTime(0.0, 0.0)
    time, dense, full = (t.get(row.name, nothing) for t in (timing.converted, timing.dense, timing.full_groups))
    even = break_even_by_speed(row.density, time.minimum, full.minimum, dense.minimum) if row.sparse else None
    return LayerReport(row, time.minimum, time.median, dense.minimum, error, even, mask)


def _other(timing: Timing, layers: set[str]) -> OtherSteps:
    rest = {name: time for name, time in timing.converted.items() if name not in layers}
    dense = [time.minimum for name, time in timing.dense.items() if name not in layers]
    return OtherSteps(
        len(rest), sum(time.minimum for time in rest.values()), sum(time.median for time in rest.values()), sum(dense)
    )

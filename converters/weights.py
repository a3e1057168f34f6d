"""Weights that a file may hold: finite, and without numbers so small that they slow a processor down."""

from __future__ import annotations

import dataclasses

import numpy as np
from edge_sparse.converters.graph import Graph
from edge_sparse.converters.pruning.layers import layers_of
from edge_sparse.converters.pruning.magnitude import copy_graph

from edge_sparse.errors import ConvertError
from edge_sparse.plan import DType

__all__ = ["check_finite", "check_range", "fill_zeros", "flush_subnormals"]

_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
_LARGEST_HALF = float(np.finfo(np.float16).max)


def check_finite(graph: Graph) -> None:
    """Refuse NaN and infinity in any constant.

    Raises
    ------
    ConvertError
        ``WEIGHTS_NOT_FINITE``; the message names all constants that hold such numbers.
    """
    bad = [
        value.origin or name
        for name, value in graph.values.items()
        if value.data is not None and np.issubdtype(value.data.dtype, np.floating) and not np.isfinite(value.data).all()
    ]
    if bad:
        raise ConvertError(
            "WEIGHTS_NOT_FINITE",
            f"NaN or infinite numbers in {', '.join(bad)}",
            "repair these weights in the source model; a training run that diverged often leaves them",
        )


def check_range(graph: Graph, dtype: DType) -> None:
    """Refuse weights that half precision cannot hold."""
    if dtype is not DType.F16:
        return
    bad = [layer.node for layer in layers_of(graph) if np.abs(layer.data(graph)).max(initial=0) > _LARGEST_HALF]
    if bad:
        raise ConvertError(
            "WEIGHTS_OVERFLOW", f"weights of {', '.join(bad)} exceed {_LARGEST_HALF:.0f}", "convert with dtype 'f32'"
        )


def flush_subnormals(graph: Graph) -> tuple[Graph, int]:
    """Return a graph whose float constants below the smallest normal float32 are zero, and how many there were."""
    result, flushed = copy_graph(graph), 0
    for name, value in graph.values.items():
        if value.data is None or not np.issubdtype(value.data.dtype, np.floating):
            continue
        tiny = (value.data != 0) & (np.abs(value.data) < _SMALLEST_NORMAL)
        if tiny.any():
            flushed += int(tiny.sum())
            result.values[name] = dataclasses.replace(value, data=np.where(tiny, value.data.dtype.type(0), value.data))
    return result, flushed


def fill_zeros(graph: Graph) -> Graph:
    """Return a graph without zeros in its layers: what the model would take in bytes and time, were it dense."""
    result = copy_graph(graph)
    for layer in layers_of(graph):
        data = layer.data(graph)
        filled = np.where(data == 0, data.dtype.type(1e-3), data)
        result.values[layer.weight] = dataclasses.replace(graph.values[layer.weight], data=filled)
    return result

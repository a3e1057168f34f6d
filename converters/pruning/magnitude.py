"""Pruning by magnitude: one shot, no data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Graph, Value
from edge_sparse.converters.pruning.groups import as_weight
from edge_sparse.converters.pruning.layers import LayerRequest, requests_of
from edge_sparse.converters.pruning.masks import magnitude_masks
from edge_sparse.converters.pruning.options import PruneOptions
from edge_sparse.converters.pruning.patterns import LayerPattern, density_at, reason_for_dense
from edge_sparse.converters.pruning.speed import SpeedLimit

from edge_sparse.errors import PruningError

__all__ = ["PruneResult", "prune_graph"]


@dataclass(frozen=True)
class PruneResult:
    """A pruned graph and the pattern of each of its convolution and linear layers, by node name."""

    graph: Graph
    patterns: dict[str, LayerPattern]


def prune_graph(graph: Graph, options: PruneOptions, *, break_even_density: float | SpeedLimit = 0.95) -> PruneResult:
    """Return a new graph in which the groups of least magnitude are zero.

    Layers for which the sparse form does not pay keep all their weights: their zeros would cost accuracy for nothing.

    Parameters
    ----------
    graph : Graph
        Left as it is.
    options : PruneOptions
        What to drop.
    break_even_density : float or SpeedLimit
        Layers that would keep more than this share of their weights stay dense; one number, or per operator and group.
    """
    requests = requests_of(graph, options)
    chosen = [request for request in requests if request.sparsity]
    masks = magnitude_masks(chosen, {r.layer.node: r.layer.matrices(graph) for r in chosen}, options)
    result = copy_graph(graph)
    patterns = {}
    for request in requests:
        mask = masks.get(request.layer.node)
        patterns[request.layer.node] = _apply(graph, result, request, mask, break_even_density)
    return PruneResult(result, patterns)


def copy_graph(graph: Graph) -> Graph:
    """Return a graph whose nodes and values may be replaced without touching the original; arrays are shared."""
    nodes = [
        dataclasses.replace(n, inputs=list(n.inputs), outputs=list(n.outputs), attributes=dict(n.attributes))
        for n in graph.nodes
    ]
    return dataclasses.replace(
        graph,
        nodes=nodes,
        values={name: dataclasses.replace(value) for name, value in graph.values.items()},
        inputs=list(graph.inputs),
        outputs=list(graph.outputs),
        input_layouts=dict(graph.input_layouts),
    )


def _apply(
    graph: Graph, result: Graph, request: LayerRequest, mask: npt.NDArray[np.bool_] | None, limit: float | SpeedLimit
) -> LayerPattern:
    """Zero a layer's weights in ``result`` if that pays, and describe the layer."""
    layer, matrices = request.layer, request.layer.matrices(graph)
    if mask is None:
        return LayerPattern(
            layer.node, layer.operator, request.group, density_at(matrices, request.group), False, request.reason
        )
    pruned = np.where(mask, matrices, matrices.dtype.type(0))
    if matrices.any() and not pruned.any():
        raise PruningError(
            "LAYER_EMPTY",
            f"layer {layer.node} would lose all its weights",
            "lower the sparsity, use scope 'strip' or 'layer', or give the layer an override",
        )
    density = density_at(pruned, request.group)
    reason = "" if layer.operator == "depthwise" else reason_for_dense(layer, request.group, density, limit)
    if reason:
        before = density_at(matrices, request.group)
        return LayerPattern(layer.node, layer.operator, request.group, before, False, f"left dense, {reason}")
    _write(graph, result, request, np.asarray(as_weight(pruned, layer.shape)))
    if layer.operator == "depthwise":
        return LayerPattern(layer.node, layer.operator, 1, density, False, "depthwise: zeros are stored")
    return LayerPattern(layer.node, layer.operator, request.group, density, True, f"pruned to gs{request.group}x1")


def _write(graph: Graph, result: Graph, request: LayerRequest, weight: npt.NDArray[np.generic]) -> None:
    """Give a layer its new weight; a constant that two layers share stays shared while both agree on it."""
    name = request.layer.weight
    node = next(n for n in result.nodes if n.name == request.layer.node)
    users = len(graph.consumers(name))
    written = result.values[name].data is not graph.values[name].data
    if users > 1 and not (written and np.array_equal(result.values[name].data, weight)):  # type: ignore[arg-type]
        node.inputs[1] = name = f"{name}/{node.name}"
    result.values[name] = Value(name, tuple(weight.shape), weight.dtype, weight)

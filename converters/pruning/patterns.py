"""Which layers of a graph run sparse, with which group, and why the others do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Graph
from edge_sparse.converters.pruning.break_even import break_even_density
from edge_sparse.converters.pruning.groups import group_density, widest_group
from edge_sparse.converters.pruning.layers import Layer, layers_of
from edge_sparse.converters.pruning.speed import SpeedLimit

from edge_sparse.format.packing import GROUPS

__all__ = ["LayerPattern", "density_at", "detect_patterns", "reason_for_dense"]


@dataclass(frozen=True)
class LayerPattern:
    """The sparsity pattern of one convolution or linear layer.

    Parameters
    ----------
    node, operator : str
        Node name; conv1x1, convkxk, linear, depthwise or stem.
    group : int
        Rows per group at which ``density`` holds. A dense layer may be stored at any group.
    density : float
        Share of weights in groups that are not all zero.
    sparse : bool
        Whether the layer is to be stored and run sparse.
    reason : str
        Why, for a person.
    """

    node: str
    operator: str
    group: int
    density: float
    sparse: bool
    reason: str


def density_at(matrices: npt.NDArray[np.floating], group: int) -> float:
    """Return the density of equally large matrices together."""
    return float(np.mean([group_density(matrix, group) for matrix in matrices]))


def reason_for_dense(layer: Layer, group: int, density: float, limit: float | SpeedLimit) -> str:
    """Return why a layer of this density does not pay when sparse, or an empty text when it does."""
    rows = layer.shape[0] // layer.groups
    columns = layer.shape[1] * layer.taps
    if density > break_even_density(rows, columns, group):
        return f"sparse form would be larger: {1 - density:.1%} of the weights are dropped as gs{group}x1"
    if density > (limit(layer.operator, group) if callable(limit) else limit):
        return f"too few zeros to pay: {1 - density:.1%} of the weights are dropped as gs{group}x1"
    return ""


def _detect(layer: Layer, matrices: npt.NDArray[np.floating], limit: float | SpeedLimit) -> LayerPattern:
    if layer.operator == "depthwise":
        return LayerPattern(layer.node, layer.operator, 1, density_at(matrices, 1), False, "depthwise")
    rows = matrices.shape[1]
    # A group wider than the matrix is stored in the smaller bands that its rows allow.
    candidates = [group for group in GROUPS if group <= rows]
    group = min(widest_group(matrix, candidates)[0] for matrix in matrices)
    density = density_at(matrices, group)
    if layer.operator == "stem":
        reason = f"stem: {layer.in_channels} input channels"
    elif density == 1:
        reason = "no zeros" if np.count_nonzero(matrices) == matrices.size else "zeros form no groups"
    else:
        reason = reason_for_dense(layer, group, density, limit)
    sparse = not reason
    return LayerPattern(layer.node, layer.operator, group, density, sparse, reason or f"zeros found as gs{group}x1")


def detect_patterns(graph: Graph, *, break_even_density: float | SpeedLimit = 0.95) -> dict[str, LayerPattern]:
    """Find the pattern of each layer of a model that was pruned before, by node name.

    Parameters
    ----------
    break_even_density : float or SpeedLimit
        Layers that keep more than this share of their weights stay dense; one number, or per operator and group.
    """
    return {
        layer.node: _detect(layer, layer.matrices(graph), break_even_density)
        for layer in layers_of(graph)
        if layer.data(graph).size
    }

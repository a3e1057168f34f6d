"""Folds a batch norm into the convolution or linear layer before it."""

from __future__ import annotations

import numpy as np
from edge_sparse.converters.graph import Graph
from edge_sparse.converters.passes.fold_scale import can_take_scale, scale_layer
from edge_sparse.converters.passes.rewriting import absorb, activation_of

__all__ = ["fold_batch_norm"]


def fold_batch_norm(graph: Graph) -> bool:
    """Multiply weights by the scale and put the shift into the bias; computed in double precision."""
    changed = False
    for norm in [node for node in graph.nodes if node.op == "batch_norm"]:
        layer = graph.producer(norm.inputs[0])
        if layer is None or not can_take_scale(graph, layer):
            continue
        scale = np.asarray(graph.constant(norm.inputs[1]), np.float64).reshape(-1)
        shift = np.asarray(graph.constant(norm.inputs[2]), np.float64).reshape(-1)
        scale_layer(graph, layer, scale, shift)
        activation = {key: norm.attributes[key] for key in norm.attributes if activation_of(norm) != "none"}
        absorb(graph, layer, norm)
        layer.attributes |= activation
        changed = True
    return changed

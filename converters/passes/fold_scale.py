"""Folds products and sums with constants into the convolution or linear layer before them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Graph, Node
from edge_sparse.converters.passes.rewriting import (
    absorb,
    activation_of,
    add_constant,
    per_channel,
    sole_consumer,
)

__all__ = ["can_take_scale", "fold_scale", "scale_layer"]


def fold_scale(graph: Graph) -> bool:
    """Fold ``mul`` and ``add`` with one number per channel, and with one number."""
    changed = False
    for node in [node for node in graph.nodes if node.op in ("add", "mul")]:
        layer = graph.producer(node.inputs[0])
        if layer is None or not can_take_scale(graph, layer):
            continue
        shape = graph.values[node.outputs[0]].shape
        numbers = per_channel(graph, node.inputs[1], shape)
        if numbers is None or graph.values[layer.outputs[0]].shape != shape:
            continue
        if node.op == "mul":
            scale_layer(graph, layer, numbers, np.zeros_like(numbers))
        else:
            scale_layer(graph, layer, np.ones_like(numbers), numbers)
        activation = {key: node.attributes[key] for key in node.attributes if activation_of(node) != "none"}
        absorb(graph, layer, node)
        layer.attributes |= activation
        changed = True
    return changed


def can_take_scale(graph: Graph, layer: Node) -> bool:
    """Tell whether a layer's result is read once, and neither activated nor added to."""
    if layer.op not in ("conv", "linear") or activation_of(layer) != "none":
        return False
    if sole_consumer(graph, layer.outputs[0]) is None or len(graph.values[layer.outputs[0]].shape) not in (2, 4):
        return False
    if layer.op == "linear" and len(graph.values[layer.outputs[0]].shape) != 2:
        return False
    constants = [graph.values[name].data is not None for name in layer.inputs[1:3] if name]
    return all(constants) and not any(layer.inputs[3:])


def scale_layer(graph: Graph, layer: Node, scale: npt.NDArray[np.float64], shift: npt.NDArray[np.float64]) -> None:
    """Give a layer new constants so that its result becomes result * scale + shift per output channel."""
    weight = graph.values[layer.inputs[1]]
    assert weight.data is not None
    wide = weight.data.astype(np.float64) * scale.reshape(-1, *[1] * (len(weight.shape) - 1))
    bias_name = layer.inputs[2] if len(layer.inputs) > 2 and layer.inputs[2] else ""
    bias = np.asarray(graph.constant(bias_name), np.float64).reshape(-1) if bias_name else np.zeros_like(scale)
    inputs = [layer.inputs[0], layer.inputs[1]]
    if not np.all(scale == 1):
        inputs[1] = add_constant(graph, f"{layer.name}.weight.folded", wide, weight.origin)
    inputs.append(add_constant(graph, f"{layer.name}.bias.folded", bias * scale + shift))
    layer.inputs = inputs

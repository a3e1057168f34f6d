"""Lets a convolution add the other operand of the sum that follows it."""

from __future__ import annotations

import numpy as np
from edge_sparse.converters.graph import Graph, Node
from edge_sparse.converters.passes.rewriting import activation_of, add_constant, sole_consumer

__all__ = ["fuse_residual"]


def fuse_residual(graph: Graph) -> bool:
    """Turn ``add(conv(x), y)`` into a convolution with the residual y, at the place of the sum."""
    changed = False
    for node in [node for node in graph.nodes if node.op == "add"]:
        conv = _convolution(graph, node)
        if conv is None:
            continue
        other = node.inputs[1] if node.inputs[0] == conv.outputs[0] else node.inputs[0]
        if len(conv.inputs) < 3:
            channels = graph.values[node.outputs[0]].shape[1]
            conv.inputs.append(add_constant(graph, f"{conv.name}.bias.zero", np.zeros(channels)))
        conv.inputs = [*conv.inputs[:3], other]
        if activation_of(node) != "none":
            conv.attributes |= node.attributes
        # The convolution moves to the sum, where the other operand has been computed.
        graph.values.pop(conv.outputs[0])
        conv.outputs = list(node.outputs)
        graph.nodes.remove(conv)
        graph.nodes[graph.nodes.index(node)] = conv
        changed = True
    return changed


def _convolution(graph: Graph, node: Node) -> Node | None:
    """Return the operand to fuse: the convolution computed last, as the other one is then already there."""
    shape = graph.values[node.outputs[0]].shape
    operands = [graph.values[name] for name in node.inputs]
    if any(value.shape != shape or value.data is not None for value in operands):
        return None
    producers = [producer for value in operands if (producer := graph.producer(value.name)) is not None]
    fusible = [producer for producer in producers if _is_fusible(graph, producer, node)]
    return max(fusible, key=graph.nodes.index, default=None)


def _is_fusible(graph: Graph, conv: Node, node: Node) -> bool:
    if conv.op != "conv" or activation_of(conv) != "none" or any(conv.inputs[3:]):
        return False
    outputs, inputs_per_group = graph.values[conv.inputs[1]].shape[:2]
    depthwise = outputs > 1 and inputs_per_group == 1 and conv.attributes.get("groups", 1) == outputs
    return not depthwise and sole_consumer(graph, conv.outputs[0]) is node

"""Lets the node that computes a value apply the activation that follows."""

from __future__ import annotations

from edge_sparse.converters.graph import Graph
from edge_sparse.converters.passes.rewriting import absorb, activation_of, sole_consumer

__all__ = ["fuse_activation"]

#: Operations whose steps end with an activation.
_ACTIVATING = frozenset({"conv", "linear", "batch_norm", "add", "mul", "mean"})


def fuse_activation(graph: Graph) -> bool:
    """Move activations into the only node that feeds them."""
    changed = False
    for node in [node for node in graph.nodes if node.op == "activation"]:
        producer = graph.producer(node.inputs[0])
        if producer is None or producer.op not in _ACTIVATING or activation_of(producer) != "none":
            continue
        if sole_consumer(graph, producer.outputs[0]) is not node:
            continue
        producer.attributes |= node.attributes
        absorb(graph, producer, node)
        changed = True
    return changed

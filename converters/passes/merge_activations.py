"""Merges clamps that follow each other, and names the clamp from zero upwards relu."""

from __future__ import annotations

import numpy as np
from edge_sparse.converters.graph import Graph, Node
from edge_sparse.converters.passes.rewriting import absorb, activation_of, sole_consumer

__all__ = ["limits_of", "merge_activations"]

_UNBOUNDED = float(np.finfo(np.float32).max)


def limits_of(node: Node) -> tuple[float, float] | None:
    """Return the limits of a relu or clamp, None for other activations."""
    if activation_of(node) == "relu":
        return 0.0, _UNBOUNDED
    if activation_of(node) != "clamp":
        return None
    return float(node.attributes["clamp_low"]), float(node.attributes["clamp_high"])  # type: ignore[arg-type]


def merge_activations(graph: Graph) -> bool:
    """Make one clamp of two."""
    changed = False
    for node in [node for node in graph.nodes if node.op == "activation"]:
        producer = graph.producer(node.inputs[0])
        if producer is None or producer.op != "activation" or sole_consumer(graph, producer.outputs[0]) is not node:
            continue
        first, second = limits_of(producer), limits_of(node)
        if first is None or second is None:
            continue
        low, high = (min(max(limit, second[0]), second[1]) for limit in first)
        relu = (low, high) == (0.0, _UNBOUNDED)
        producer.attributes = {"activation": "relu"}
        if not relu:
            producer.attributes = {"activation": "clamp", "clamp_low": low, "clamp_high": high}
        absorb(graph, producer, node)
        changed = True
    return changed

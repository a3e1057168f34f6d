"""Makes one subsample of one over rows and one over columns."""

from __future__ import annotations

from edge_sparse.converters.graph import Graph
from edge_sparse.converters.passes.rewriting import absorb, sole_consumer

__all__ = ["merge_subsample"]


def merge_subsample(graph: Graph) -> bool:
    """Multiply the strides of subsamples that follow each other."""
    changed = False
    for node in [node for node in graph.nodes if node.op == "subsample"]:
        producer = graph.producer(node.inputs[0])
        if producer is None or producer.op != "subsample" or sole_consumer(graph, producer.outputs[0]) is not node:
            continue
        strides = zip(producer.attributes["stride"], node.attributes["stride"], strict=True)  # type: ignore[call-overload]
        producer.attributes["stride"] = tuple(first * second for first, second in strides)
        absorb(graph, producer, node)
        changed = True
    return changed

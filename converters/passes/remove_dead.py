"""Removes nodes whose results nobody reads, and values that no node touches."""

from __future__ import annotations

from edge_sparse.converters.graph import Graph

__all__ = ["remove_dead"]


def remove_dead(graph: Graph) -> bool:
    """Keep what outputs depend on, and the graph's inputs."""
    needed = set(graph.outputs)
    kept = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    changed = len(kept) < len(graph.nodes)
    graph.nodes = kept[::-1]
    touched = needed.union(graph.inputs, *(node.outputs for node in graph.nodes))
    graph.values = {name: value for name, value in graph.values.items() if name in touched}
    return changed

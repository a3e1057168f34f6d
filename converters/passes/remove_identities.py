"""Removes nodes that compute nothing, and shortens chains of reshapes."""

from __future__ import annotations

from edge_sparse.converters.graph import Graph, Node
from edge_sparse.converters.passes.rewriting import activation_of, bypass, number_of

__all__ = ["remove_identities"]


def remove_identities(graph: Graph) -> bool:
    """Bypass identities; let a reshape of a reshape read the first one's input."""
    changed = False
    for node in list(graph.nodes):
        if _is_identity(graph, node):
            changed |= bypass(graph, node)
        elif node.op == "reshape":
            producer = graph.producer(node.inputs[0])
            if producer is not None and producer.op == "reshape":
                node.inputs = list(producer.inputs)
                changed = True
    return changed


def _is_identity(graph: Graph, node: Node) -> bool:
    same_shape = bool(node.inputs) and graph.values[node.inputs[0]].shape == graph.values[node.outputs[0]].shape
    if not same_shape or activation_of(node) != "none":
        return False
    if node.op in ("reshape", "activation", "adaptive_avg_pool", "pad_channels", "mean"):
        return True
    if node.op == "concat":
        return len(node.inputs) == 1
    if node.op == "pad":
        return not any(node.attributes["padding"])  # type: ignore[call-overload]
    if node.op in ("subsample", "max_pool", "avg_pool"):
        return set(_pairs(node)) == {1}
    if node.op == "select_channels":
        channels = node.attributes["channels"]
        return list(channels) == list(range(graph.values[node.inputs[0]].shape[1]))  # type: ignore[call-overload]
    if node.op in ("add", "mul"):
        return number_of(graph, node.inputs[1]) == (0 if node.op == "add" else 1)
    return False


def _pairs(node: Node) -> list[int]:
    values: list[int] = []
    for name in ("kernel", "stride"):
        values += list(node.attributes.get(name) or (1, 1))  # type: ignore[call-overload]
    return values

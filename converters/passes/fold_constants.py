"""Computes nodes whose inputs are all constants."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Graph, Node, Value
from edge_sparse.converters.passes.rewriting import activation_of

__all__ = ["fold_constants"]


def fold_constants(graph: Graph) -> bool:
    """Replace add, mul, reshape and concat of constants by their value; two factors in a row become one."""
    changed = _merge_numbers(graph)
    for node in list(graph.nodes):
        operands = [graph.values[name].data for name in node.inputs]
        if not operands or any(data is None for data in operands) or node.outputs[0] in graph.outputs:
            continue
        data = _evaluate(graph, node, [np.asarray(data, np.float64) for data in operands])
        if data is None:
            continue
        name = node.outputs[0]
        graph.values[name] = Value(name, data.shape, np.dtype(np.float32), data.astype(np.float32))
        graph.nodes.remove(node)
        changed = True
    return changed


def _evaluate(graph: Graph, node: Node, operands: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64] | None:
    if activation_of(node) != "none":
        return None
    if node.op == "reshape":
        return operands[0].reshape(graph.values[node.outputs[0]].shape)
    if node.op == "concat":
        return np.concatenate(operands, axis=int(node.attributes["axis"]))  # type: ignore[call-overload]
    if node.op in ("add", "mul"):
        return np.asarray(operands[0] + operands[1] if node.op == "add" else operands[0] * operands[1])
    return None


def _merge_numbers(graph: Graph) -> bool:
    """Let a sum (product) with a constant of a sum (product) with a constant read the first one's input."""
    for node in graph.nodes:
        if node.op not in ("add", "mul") or len(node.inputs) != 2:
            continue
        producer = graph.producer(node.inputs[0])
        if producer is None or producer.op != node.op or activation_of(producer) != "none":
            continue
        first, second = graph.values[producer.inputs[1]].data, graph.values[node.inputs[1]].data
        if first is None or second is None:
            continue
        wide, other = first.astype(np.float64), second.astype(np.float64)
        data = np.asarray(wide + other if node.op == "add" else wide * other, np.float32)
        name = f"{node.name}.merged"
        while name in graph.values:
            name += "_"
        graph.values[name] = Value(name, data.shape, data.dtype, data)
        node.inputs = [producer.inputs[0], name]
        return True
    return False

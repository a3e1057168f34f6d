"""Recognises hardsigmoid, hardswish and silu where a model spells them out."""

from __future__ import annotations

from edge_sparse.converters.graph import Graph, Node
from edge_sparse.converters.passes.merge_activations import limits_of
from edge_sparse.converters.passes.rewriting import activation_of, number_of

__all__ = ["recognise_activations"]

_TOLERANCE = 1e-6


def recognise_activations(graph: Graph) -> bool:
    """Replace clamp(x + 3, 0, 6) / 6, x times that, and x * sigmoid(x) by single activations.

    The nodes that are no longer read are left to ``remove_dead``.
    """
    changed = False
    for node in graph.nodes:
        if node.op != "mul" or len(node.inputs) != 2:
            continue
        found = _hardsigmoid(graph, node) or _gated(graph, node) or _scaled_hardswish(graph, node)
        if found is None:
            continue
        source, name = found
        activation = activation_of(node)
        if activation != "none":
            continue
        node.op, node.inputs, node.attributes = "activation", [source], {"activation": name}
        changed = True
    return changed


def _clamped(graph: Graph, name: str) -> str:
    """Return x when a value is clamp(x + 3, 0, 6), else an empty name."""
    clamp = graph.producer(name)
    if clamp is None or clamp.op != "activation" or limits_of(clamp) != (0.0, 6.0):
        return ""
    plus = graph.producer(clamp.inputs[0])
    if plus is None or plus.op != "add" or activation_of(plus) != "none" or number_of(graph, plus.inputs[1]) != 3:
        return ""
    return plus.inputs[0]


def _is_sixth(graph: Graph, name: str) -> bool:
    number = number_of(graph, name)
    return number is not None and abs(number * 6 - 1) < _TOLERANCE


def _hardsigmoid(graph: Graph, node: Node) -> tuple[str, str] | None:
    x = _clamped(graph, node.inputs[0]) if _is_sixth(graph, node.inputs[1]) else ""
    return (x, "hardsigmoid") if x else None


def _gated(graph: Graph, node: Node) -> tuple[str, str] | None:
    """Recognise x * hardsigmoid(x), x * sigmoid(x) and (x / 6) * clamp(x + 3, 0, 6)."""
    for x, gate_name in (node.inputs, node.inputs[::-1]):
        scaled = graph.producer(x)
        if scaled is not None and scaled.op == "mul" and _is_sixth(graph, scaled.inputs[1]):
            source = scaled.inputs[0]
            if activation_of(scaled) == "none" and _clamped(graph, gate_name) == source:
                return source, "hardswish"
        gate = graph.producer(gate_name)
        if gate is None or gate.op != "activation" or gate.inputs != [x]:
            continue
        name = {"hardsigmoid": "hardswish", "sigmoid": "silu"}.get(activation_of(gate))
        if name:
            return x, name
    return None


def _scaled_hardswish(graph: Graph, node: Node) -> tuple[str, str] | None:
    """Recognise (x * clamp(x + 3, 0, 6)) / 6, and the product with the factor on x."""
    if not _is_sixth(graph, node.inputs[1]):
        return None
    product = graph.producer(node.inputs[0])
    if product is None or product.op != "mul" or activation_of(product) != "none":
        return None
    for x, other in (product.inputs, product.inputs[::-1]):
        if _clamped(graph, other) == x:
            return x, "hardswish"
    return None

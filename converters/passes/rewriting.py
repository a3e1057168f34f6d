"""Steps that all rewrites share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Graph, Node, Value

__all__ = [
    "absorb",
    "activation_of",
    "add_constant",
    "bypass",
    "constant_of",
    "number_of",
    "per_channel",
    "sole_consumer",
]


def sole_consumer(graph: Graph, name: str) -> Node | None:
    """Return the only node that reads a value, once; None when there are others or it leaves the graph."""
    if name in graph.outputs:
        return None
    consumers = graph.consumers(name)
    return consumers[0] if len(consumers) == 1 and consumers[0].inputs.count(name) == 1 else None


def absorb(graph: Graph, first: Node, second: Node) -> None:
    """Let ``first`` write what ``second`` wrote, and drop ``second``."""
    graph.values.pop(first.outputs[0], None)
    first.outputs = list(second.outputs)
    graph.nodes.remove(second)


def bypass(graph: Graph, node: Node) -> bool:
    """Drop a node that passes on its first input; False when inputs and outputs of the graph forbid it."""
    source, target = node.inputs[0], node.outputs[0]
    if target in graph.outputs:
        producer = graph.producer(source)
        if producer is None or len(producer.outputs) > 1 or source in graph.outputs:
            return False
        if graph.values[source].shape != graph.values[target].shape:
            return False
        # The name of an output stays: the producer writes it directly.
        source, target = target, source
        producer.outputs = [source]
    graph.nodes.remove(node)
    for other in graph.nodes:
        other.inputs = [source if name == target else name for name in other.inputs]
    graph.values.pop(target, None)
    return True


def constant_of(graph: Graph, name: str) -> npt.NDArray[np.generic] | None:
    """Return the data of a value, or None when it is no constant."""
    return graph.values[name].data


def number_of(graph: Graph, name: str) -> float | None:
    """Return the number that a constant of one element holds."""
    data = constant_of(graph, name)
    return float(data.reshape(-1)[0]) if data is not None and data.size == 1 else None


def per_channel(graph: Graph, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64] | None:
    """Return a constant operand of a value of this shape as one number per channel (axis 1), if it is that."""
    data = constant_of(graph, name)
    if data is None or len(shape) not in (2, 4):
        return None
    channels = shape[1]
    if data.size == 1:
        return np.full(channels, data.reshape(-1)[0], np.float64)
    aligned = (1,) * (len(shape) - data.ndim) + data.shape
    if aligned != (1, channels, *[1] * (len(shape) - 2)):
        return None
    return data.reshape(channels).astype(np.float64)


def add_constant(graph: Graph, name: str, data: npt.NDArray[np.generic], origin: str = "") -> str:
    """Add a float32 constant under a free name like the given one, and return the name."""
    candidate, count = name, 0
    while candidate in graph.values:
        count += 1
        candidate = f"{name}_{count}"
    array = np.ascontiguousarray(data, np.float32)
    graph.values[candidate] = Value(candidate, array.shape, array.dtype, array, origin)
    return candidate


def activation_of(node: Node) -> str:
    """Return the activation that a node applies to its result."""
    return str(node.attributes.get("activation") or "none")

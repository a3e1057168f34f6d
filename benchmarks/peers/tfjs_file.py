"""A convolutional converter graph as a list of tfjs' fused operations and one buffer of weights."""

from __future__ import annotations

import numpy as np
from edge_sparse.converters.graph import Graph, Node


def _activation(node: Node) -> str:
    a = node.attributes
    kind = a.get("activation", "none")
    if kind == "clamp" and (a["clamp_low"], a["clamp_high"]) != (0.0, 6.0):
        raise ValueError(f"tfjs fuses no clamp from {a['clamp_low']} to {a['clamp_high']}")
    return {"none": "linear", "relu": "relu", "clamp": "relu6"}[kind]


def _weight(node: Node, graph: Graph) -> np.ndarray:
    """Return the filter in tfjs' order: (height, width, in, out), and (in, out) of linear layers."""
    data = graph.constant(node.inputs[1])
    if node.op == "linear":
        return data.T
    return data.transpose(2, 3, 0, 1) if node.attributes["groups"] > 1 else data.transpose(2, 3, 1, 0)


def tfjs_layers(graph: Graph) -> tuple[list[dict[str, object]], bytes]:
    """Return the operations in order and the weights; conv, mean and linear with relu or relu6 are known."""
    layers: list[dict[str, object]] = []
    blobs: list[np.ndarray] = []

    def stored(data: np.ndarray) -> dict[str, object]:
        offset = sum(blob.size for blob in blobs)
        blobs.append(np.ascontiguousarray(data, np.float32))
        return {"offset": offset, "shape": list(data.shape)}

    for node in graph.nodes:
        layer: dict[str, object] = {"op": node.op}
        if node.op in ("conv", "linear"):
            layer |= {"weight": stored(_weight(node, graph)), "bias": stored(graph.constant(node.inputs[2]))}
            layer["activation"] = _activation(node)
        if node.op == "conv":
            a = node.attributes
            top, bottom, left, right = a["padding"]
            layer |= {"depthwise": a["groups"] > 1, "strides": list(a["stride"])}
            layer["pad"] = [[0, 0], [top, bottom], [left, right], [0, 0]]
        elif node.op not in ("mean", "linear"):
            raise ValueError(f"no tfjs form of {node.op}")
        layers.append(layer)
    return layers, b"".join(blob.tobytes() for blob in blobs)

"""MobileNet-v1 with random weights as a converter graph, batch norms folded (Howard et al. 2017, table 1)."""

from __future__ import annotations

import copy

import numpy as np
from edge_sparse.converters.graph import Graph, Node, Value

from edge_sparse.format.packing import bands_of

#: Output channels and stride of the thirteen depthwise-separable blocks.
BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]


def mobilenet_v1(width: float = 1.0, size: int = 224, classes: int = 1000, seed: int = 0) -> Graph:
    """Return the graph; ``width`` multiplies all channels."""
    random = np.random.default_rng(seed)
    graph = Graph(inputs=["x"], name=f"mobilenet_v1_{width}_{size}")
    graph.values["x"] = Value("x", (1, 3, size, size))

    def constant(name: str, *shape: int) -> str:
        scale = (2.0 / max(1, int(np.prod(shape[1:])))) ** 0.5
        data = (random.standard_normal(shape) * (scale if len(shape) > 1 else 0.1)).astype(np.float32)
        graph.values[name] = Value(name, shape, data=data)
        return name

    def conv(name: str, x: str, channels: int, kernel: int, stride: int, groups: int = 1) -> str:
        batch, inputs, height, width_ = graph.values[x].shape
        pad = kernel // 2
        weight = constant(f"{name}.weight", channels, inputs // groups, kernel, kernel)
        bias = constant(f"{name}.bias", channels)
        out = (batch, channels, (height + 2 * pad - kernel) // stride + 1, (width_ + 2 * pad - kernel) // stride + 1)
        graph.values[f"{name}.out"] = Value(f"{name}.out", out)
        attributes = {
            "stride": (stride, stride),
            "padding": (pad,) * 4,
            "dilation": (1, 1),
            "groups": groups,
            "activation": "clamp",
            "clamp_low": 0.0,
            "clamp_high": 6.0,
        }
        graph.nodes.append(Node("conv", name, [x, weight, bias], [f"{name}.out"], attributes))
        return f"{name}.out"

    x = conv("stem", "x", int(32 * width), 3, 2)
    for number, (channels, stride) in enumerate(BLOCKS):
        x = conv(f"block{number}.depthwise", x, graph.values[x].shape[1], 3, stride, graph.values[x].shape[1])
        x = conv(f"block{number}.pointwise", x, int(channels * width), 1, 1)
    graph.values["pooled"] = Value("pooled", graph.values[x].shape[:2])
    graph.nodes.append(Node("mean", "pool", [x], ["pooled"], {"keepdim": False}))
    graph.values["logits"] = Value("logits", (1, classes))
    head = [constant("head.weight", classes, graph.values[x].shape[1]), constant("head.bias", classes)]
    graph.nodes.append(Node("linear", "head", ["pooled", *head], ["logits"], {}))
    graph.outputs = ["logits"]
    return graph


def pruned(graph: Graph, group: int, sparsity: float) -> tuple[Graph, dict[str, int]]:
    """Return a copy with the same share of groups dropped in every strip of the 1x1 layers, and their groups."""
    random, result, groups = np.random.default_rng(1), copy.deepcopy(graph), {}
    for node in result.nodes:
        if not node.name.endswith(".pointwise"):
            continue
        groups[node.name] = group
        weight = result.constant(node.inputs[1])
        matrix = weight.reshape(weight.shape[0], -1)
        for band in bands_of(len(matrix), group):
            for first in range(band.first_row, band.first_row + band.rows, band.group):
                drop = random.permutation(matrix.shape[1])[: round(matrix.shape[1] * sparsity)]
                matrix[first : first + band.group, drop] = 0
    return result, groups

"""Moves explicit padding into the convolution or pool that reads it."""

from __future__ import annotations

import numpy as np
from edge_sparse.converters.graph import Graph, Node
from edge_sparse.converters.passes.merge_activations import limits_of
from edge_sparse.converters.passes.rewriting import activation_of

__all__ = ["fuse_pad"]


def fuse_pad(graph: Graph) -> bool:
    """Add a pad's rows and columns to the padding of its consumers, where that computes the same."""
    changed = False
    for node in list(graph.nodes):
        pad = graph.producer(node.inputs[0]) if node.inputs else None
        if pad is None or pad.op != "pad" or not _is_legal(graph, pad, node):
            continue
        node.attributes["padding"] = _summed(pad, node)
        if node.op == "avg_pool":
            # What was padded before counted as pixels.
            node.attributes["count_include_pad"] = True
        node.inputs[0] = pad.inputs[0]
        changed = True
    return changed


def _summed(pad: Node, node: Node) -> tuple[int, ...]:
    own = node.attributes.get("padding", (0, 0, 0, 0))
    return tuple(a + b for a, b in zip(pad.attributes["padding"], own, strict=True))  # type: ignore[call-overload]


def _is_legal(graph: Graph, pad: Node, node: Node) -> bool:
    value = float(pad.attributes.get("value", 0.0))  # type: ignore[arg-type]
    own = node.attributes.get("padding", (0, 0, 0, 0))
    if node.op == "conv":
        return value == 0
    if node.op == "avg_pool":
        counted = not any(own) or bool(node.attributes.get("count_include_pad", True))  # type: ignore[call-overload]
        return value == 0 and counted and _windows_meet_image(graph, pad, node)
    if node.op == "max_pool":
        neutral = value <= -float(np.finfo(np.float32).max) or (value == 0 and _is_positive(graph, pad.inputs[0]))
        return neutral and _windows_meet_image(graph, pad, node)
    return False


def _is_positive(graph: Graph, name: str) -> bool:
    producer = graph.producer(name)
    if producer is None:
        return False
    limits = limits_of(producer)
    return activation_of(producer) in ("sigmoid", "hardsigmoid") or (limits is not None and limits[0] >= 0)


def _windows_meet_image(graph: Graph, pad: Node, node: Node) -> bool:
    """Tell whether every window holds a pixel of the image, as clipped windows need."""
    image, output = graph.values[pad.inputs[0]].shape[2:], graph.values[node.outputs[0]].shape[2:]
    kernel, before = node.attributes["kernel"], _summed(pad, node)[:2]
    stride, dilation = node.attributes.get("stride") or kernel, node.attributes.get("dilation", (1, 1))
    axes = zip(image, output, kernel, stride, dilation, before, strict=True)  # type: ignore[call-overload]
    for length, outputs, taps, step, spread, first in axes:
        for index in range(outputs):
            pixels = [index * step - first + tap * spread for tap in range(taps)]
            if not any(0 <= pixel < length for pixel in pixels):
                return False
    return True

"""The converter's graph: what a frontend produces, passes rewrite and lowering turns into a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["Graph", "Node", "Value"]


@dataclass
class Value:
    """An edge of the graph: a named array of known shape. Constants carry ``data``.

    ``origin`` is the name of the source's parameter that a constant came from. Passes keep it as long as the constant
    has the parameter's shape and is zero wherever the parameter is, so a mask of the one is a mask of the other.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic] = field(default_factory=lambda: np.dtype(np.float32))
    data: npt.NDArray[np.generic] | None = None
    origin: str = ""


@dataclass
class Node:
    """One operation.

    ``op`` is one of the names in ``OPERATIONS``; ``inputs`` and ``outputs`` are value names; ``source`` tells a person
    where the operation comes from (module path and source line).
    """

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, object] = field(default_factory=dict)
    source: str = ""


#: Operations of the graph and their attributes. Image values are (N, C, H, W). ``activation`` is one of none, relu,
#: clamp (with ``clamp_low``, ``clamp_high``), hardswish, hardsigmoid, sigmoid, silu, tanh, gelu.
OPERATIONS: Mapping[str, str] = {
    "conv": "x, weight (O, I/groups, KH, KW), [bias], [residual]; "
    "stride, dilation (pairs), padding (t, l, b, r), groups, activation",
    "linear": "x (..., K), weight (M, K), [bias]; activation",
    "batch_norm": "x, scale, shift (per channel, already folded from the four statistics); activation",
    "activation": "x; activation",
    "add": "a, b; activation. b has a's shape, or one value per channel, or one element",
    "mul": "a, b; activation. As add",
    "concat": "values...; axis",
    "max_pool": "x; kernel, stride, dilation (pairs), padding (t, l, b, r)",
    "avg_pool": "x; kernel, stride (pairs), padding (t, l, b, r), count_include_pad",
    "adaptive_avg_pool": "x; output_size (pair)",
    "mean": "x (N, C, H, W) over H and W; keepdim, activation",
    "softmax": "x; over the last axis",
    "pad": "x; padding (t, l, b, r), value",
    "reshape": "x; flattened order is kept; the target is the shape of the output value",
    "subsample": "x; stride (pair): every stride-th row and column",
    "select_channels": "x; channels: for every output channel the input channel that it copies, -1 for zeros",
    "pad_channels": "x; before, after: zero channels",
}


@dataclass
class Graph:
    """Nodes in execution order, values by name, and the names of inputs and outputs.

    ``input_layouts`` maps an input or output name to ``"nhwc"`` when the source holds it channels-last at the boundary
    (its value's shape is (N, C, H, W) all the same).
    """

    nodes: list[Node] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    input_layouts: dict[str, str] = field(default_factory=dict)
    name: str = "model"

    def constant(self, name: str) -> npt.NDArray[np.generic]:
        """Return the data of a constant value; ``KeyError`` when it is not one."""
        data = self.values[name].data
        if data is None:
            raise KeyError(name)
        return data

    def producer(self, name: str) -> Node | None:
        """Return the node that writes a value, or None for inputs and constants."""
        return next((node for node in self.nodes if name in node.outputs), None)

    def consumers(self, name: str) -> list[Node]:
        """Return the nodes that read a value, in order."""
        return [node for node in self.nodes if name in node.inputs]

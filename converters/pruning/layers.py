"""The prunable layers of a graph: what kind each is, and what the options ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Graph
from edge_sparse.converters.pruning.groups import as_matrices
from edge_sparse.converters.pruning.options import LayerOverride, PruneOptions

from edge_sparse.errors import PruningError

__all__ = ["Layer", "LayerRequest", "layers_of", "operator_of", "requests_for", "requests_of"]

#: A k x k convolution of at most this many input channels is a stem: little work, and pruning it costs accuracy.
STEM_CHANNELS = 4


@dataclass(frozen=True)
class Layer:
    """A convolution or linear node with constant weights.

    ``operator`` is conv1x1, convkxk, linear, depthwise or stem; ``groups`` the matrices that its weight splits into;
    ``taps`` KH * KW.
    """

    node: str
    operator: str
    weight: str
    shape: tuple[int, ...]
    groups: int

    @property
    def taps(self) -> int:
        """Kernel positions: KH * KW, 1 for linear layers."""
        return self.shape[2] * self.shape[3] if len(self.shape) == 4 else 1

    @property
    def in_channels(self) -> int:
        """Input channels, over all groups."""
        return self.shape[1] * self.groups

    def matrices(self, graph: Graph) -> npt.NDArray[np.floating]:
        """Return the weight as ``[matrices, rows, columns]``; depthwise is one matrix of channels x taps."""
        return as_matrices(self.data(graph), 1 if self.operator == "depthwise" else self.groups)

    def data(self, graph: Graph) -> npt.NDArray[np.floating]:
        """Return the layer's weight in a graph."""
        return graph.constant(self.weight)  # type: ignore[return-value]


def operator_of(shape: tuple[int, ...], groups: int) -> str:
    """Return the kind of a layer by the shape of its weight, (M, K) or (O, I/groups, KH, KW)."""
    if len(shape) == 2:
        return "linear"
    if groups > 1 and shape[1] == 1:
        return "depthwise"
    if shape[2] * shape[3] == 1:
        return "conv1x1"
    return "stem" if groups == 1 and shape[1] <= STEM_CHANNELS else "convkxk"


def layers_of(graph: Graph) -> list[Layer]:
    """Return all convolutions and linear layers whose weights are floating-point constants, in order."""
    layers = []
    for node in graph.nodes:
        if node.op not in ("conv", "linear"):
            continue
        weight = graph.values[node.inputs[1]]
        if weight.data is None or not np.issubdtype(weight.data.dtype, np.floating):
            continue
        groups = int(node.attributes.get("groups", 1)) if node.op == "conv" else 1  # type: ignore[call-overload]
        shape = tuple(weight.data.shape)
        layers.append(Layer(node.name, operator_of(shape, groups), weight.name, shape, groups))
    return layers


@dataclass(frozen=True)
class LayerRequest:
    """What to do with a layer: ``sparsity`` 0 leaves it alone, and ``reason`` says why."""

    layer: Layer
    sparsity: float
    group: int
    taps: int
    reason: str = ""


def _left_out(layer: Layer, options: PruneOptions) -> str:
    if layer.operator == "depthwise" and not options.include_depthwise:
        return "depthwise"
    if layer.operator == "stem" and not options.include_stem:
        return f"stem: {layer.in_channels} input channels"
    if layer.operator == "linear" and not options.include_linear:
        return "linear layers are left out"
    return ""


def _request(layer: Layer, options: PruneOptions) -> LayerRequest:
    pattern = next((p for p in options.overrides if fnmatchcase(layer.node, p)), None)
    override = options.overrides[pattern] if pattern is not None else LayerOverride()
    sparsity, reason = options.sparsity, _left_out(layer, options)
    if override.sparsity is not None:
        sparsity, reason = override.sparsity, ""
    if sparsity == 0 and not reason:
        reason = f"sparsity 0 by override {pattern!r}" if override.sparsity == 0 else "sparsity 0"
    group = override.group or options.group or (16 if layer.operator == "linear" else 4)
    if layer.operator == "depthwise":
        # Channels share no input, so a group over channels skips nothing: weights are dropped one by one.
        group = 1
    taps = layer.taps if options.convolution_pattern == "kernel" and layer.operator != "depthwise" else 1
    return LayerRequest(layer, 0.0 if reason else sparsity, group, taps, reason)


def requests_of(graph: Graph, options: PruneOptions) -> list[LayerRequest]:
    """Return what the options ask of every layer of a graph."""
    return requests_for(layers_of(graph), options)


def requests_for(layers: Sequence[Layer], options: PruneOptions) -> list[LayerRequest]:
    """Return what the options ask of every layer; an override that matches no layer is an error."""
    for pattern in options.overrides:
        if not any(fnmatchcase(layer.node, pattern) for layer in layers):
            names = ", ".join(layer.node for layer in layers[:8])
            raise PruningError(
                "OVERRIDE_UNMATCHED", f"override {pattern!r} matches no layer", f"layers are named like {names}"
            )
    return [_request(layer, options) for layer in layers]

"""Which channels of a graph must be permuted together: one rule per operation, all others keep their order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from edge_sparse.converters.graph import Graph, Node
from edge_sparse.converters.pruning.channel_blocks import Axis, Block, Span, expanded, pin, sliced, unify

__all__ = ["Choice", "Coupling", "couple"]


@dataclass(frozen=True)
class Choice:
    """A step whose output channel ``i`` copies input channel ``wanted[i]``, or is zero where that is -1."""

    source: Axis
    target: Axis
    wanted: tuple[int, ...]


class Coupling:
    """The axes of a graph's values along which channels move.

    An activation moves along one axis only: channels of images, the last axis of everything else.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.axes: dict[tuple[str, int], Axis] = {}
        #: The axis along which an activation's channels lie.
        self.channel_axis: dict[str, int] = {}
        #: Steps that copy chosen channels, by node name.
        self.choices: dict[str, Choice] = {}
        self._fixed: set[str] = set()

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value."""
        return tuple(self.graph.values[name].shape)

    def is_constant(self, name: str) -> bool:
        """Tell whether a value is a constant."""
        return self.graph.values[name].data is not None

    def axis(self, name: str, number: int) -> Axis:
        """Return an axis of a value, a new block if nothing is known about it."""
        if (name, number) not in self.axes:
            self.axes[name, number] = [Span(Block(self.shape(name)[number], name in self._fixed))]
        return self.axes[name, number]

    def channels(self, name: str) -> Axis:
        """Return the channels of an activation; anything that no rule has produced keeps its order."""
        if name not in self.channel_axis:
            self.fix(name)
        number = self.channel_axis[name]
        return self.axis(name, number) if number >= 0 else []

    def fix(self, name: str) -> None:
        """Keep the order of a value along all its axes."""
        self._fixed.add(name)
        for (value, _), axis in self.axes.items():
            if value == name:
                pin(axis)
        if name not in self.channel_axis:
            rank = len(self.shape(name))
            self.channel_axis[name] = 1 if rank == 4 else rank - 1

    def produce(self, name: str, number: int, axis: Axis) -> None:
        """Say that an activation's channels lie along an axis made of these blocks."""
        self.channel_axis[name] = number
        self.axes[name, number] = axis


def couple(graph: Graph) -> Coupling:
    """Find all couplings of a graph; inputs, outputs and operations without a rule keep their order."""
    coupling = Coupling(graph)
    for node in graph.nodes:
        rule = RULES.get(node.op)
        if rule is None or len(node.outputs) != 1 or not rule(coupling, node):
            for name in (*node.inputs, *node.outputs):
                if name:
                    coupling.fix(name)
    for name in graph.outputs:
        coupling.fix(name)
    return coupling


# Every rule returns False when it does not understand the node: then all its values keep their order.


def _conv(c: Coupling, node: Node) -> bool:
    x, weight = node.inputs[:2]
    shape = c.shape(weight)
    channels = c.channels(x)
    if not c.is_constant(weight) or len(shape) != 4 or c.channel_axis[x] != 1:
        return False
    groups = int(node.attributes.get("groups", 1))  # type: ignore[call-overload]
    if groups == 1:
        unify(channels, c.axis(weight, 1))
    elif shape[1] == 1 and groups == c.shape(x)[1]:
        unify(expanded(channels, shape[0] // groups), c.axis(weight, 0))
    else:
        return False
    return _rows(c, node, 1)


def _linear(c: Coupling, node: Node) -> bool:
    x, weight = node.inputs[:2]
    channels = c.channels(x)
    if not c.is_constant(weight) or c.channel_axis[x] != len(c.shape(x)) - 1:
        return False
    unify(channels, c.axis(weight, 1))
    return _rows(c, node, len(c.shape(node.outputs[0])) - 1)


def _rows(c: Coupling, node: Node, number: int) -> bool:
    """Couple the rows of a weight with bias, residual and output."""
    rows = c.axis(node.inputs[1], 0)
    for name in filter(None, node.inputs[2:3]):
        if not c.is_constant(name) or len(c.shape(name)) != 1:
            return False
        unify(rows, c.axis(name, 0))
    for name in filter(None, node.inputs[3:]):
        residual = c.channels(name)
        if c.is_constant(name) or c.shape(name) != c.shape(node.outputs[0]) or c.channel_axis[name] != number:
            return False
        unify(rows, residual)
    c.produce(node.outputs[0], number, rows)
    return True


def _batch_norm(c: Coupling, node: Node) -> bool:
    channels = c.channels(node.inputs[0])
    if c.channel_axis[node.inputs[0]] != 1:
        return False
    for name in node.inputs[1:]:
        if not c.is_constant(name) or c.shape(name) != c.shape(node.inputs[0])[1:2]:
            return False
        unify(channels, c.axis(name, 0))
    c.produce(node.outputs[0], 1, channels)
    return True


def _same(c: Coupling, node: Node) -> bool:
    """Operations that treat every channel alike."""
    (name,) = node.inputs
    channels = c.channels(name)
    c.produce(node.outputs[0], c.channel_axis[name], channels)
    return True


def _image(c: Coupling, node: Node) -> bool:
    """Operations on the pixels of every channel."""
    c.channels(node.inputs[0])
    return len(node.inputs) == 1 and c.channel_axis[node.inputs[0]] == 1 and _same(c, node)


def _elementwise(c: Coupling, node: Node) -> bool:
    shape = c.shape(node.outputs[0])
    whole = next((n for n in node.inputs if not c.is_constant(n) and c.shape(n) == shape), None)
    if whole is None:
        return False
    channels = c.channels(whole)
    number = c.channel_axis[whole]
    for name in node.inputs:
        if name != whole and not _operand(c, name, channels, number, len(shape)):
            return False
    c.produce(node.outputs[0], number, channels)
    return True


def _operand(c: Coupling, name: str, channels: Axis, number: int, rank: int) -> bool:
    """Couple an operand, broadcast as in NumPy, with the channels of the result."""
    shape = c.shape(name)
    if int(np.prod(shape)) == 1:
        return True
    number -= rank - len(shape)
    length = sum(span.entries for span in channels)
    if number < 0 or shape[number] not in (1, length):
        return False
    if c.is_constant(name):
        if shape[number] == length:
            unify(channels, c.axis(name, number))
        return True
    own = c.channels(name)
    if len(shape) != rank or c.channel_axis[name] != number or shape[number] != length:
        return False
    unify(channels, own)
    return True


def _concat(c: Coupling, node: Node) -> bool:
    parts = [c.channels(name) for name in node.inputs]
    numbers = {c.channel_axis[name] for name in node.inputs}
    if len(numbers) != 1:
        return False
    (number,) = numbers
    rank = len(c.shape(node.outputs[0]))
    if int(node.attributes.get("axis", 1)) % rank == number:  # type: ignore[call-overload]
        c.produce(node.outputs[0], number, [span for part in parts for span in part])
        return True
    for part in parts[1:]:
        unify(parts[0], part)
    c.produce(node.outputs[0], number, parts[0])
    return True


def _reshape(c: Coupling, node: Node) -> bool:
    """Follow the channels where they stay one axis, or absorb the axes after them (flatten)."""
    (name,) = node.inputs
    channels = c.channels(name)
    number, shape, target = c.channel_axis[name], c.shape(name), c.shape(node.outputs[0])
    if number < 0:
        return False
    before, length = int(np.prod(shape[:number])), shape[number]
    for place, size in enumerate(target):
        if int(np.prod(target[:place])) == before and size >= length and size % length == 0:
            c.produce(node.outputs[0], place, expanded(channels, size // length))
            return True
    return False


def _pad_channels(c: Coupling, node: Node) -> bool:
    before, after = (int(node.attributes.get(side, 0)) for side in ("before", "after"))  # type: ignore[call-overload]
    return _choose(c, node, [-1] * before + list(range(c.shape(node.inputs[0])[1])) + [-1] * after)


def _select_channels(c: Coupling, node: Node) -> bool:
    """Follow a slice of channels, which costs nothing as a slice; any other selection is a step that may change."""
    channels = c.channels(node.inputs[0])
    wanted = [int(v) for v in node.attributes["channels"]]  # type: ignore[attr-defined]
    if wanted[0] < 0 or wanted != list(range(wanted[0], wanted[-1] + 1)):
        return _choose(c, node, wanted)
    part = sliced(channels, wanted[0], wanted[-1] + 1)
    if c.channel_axis[node.inputs[0]] != 1 or part is None:
        return False
    c.produce(node.outputs[0], 1, part)
    return True


def _choose(c: Coupling, node: Node, wanted: list[int]) -> bool:
    """Leave both sides free: the step copies channels and can copy others instead."""
    channels = c.channels(node.inputs[0])
    if c.channel_axis[node.inputs[0]] != 1:
        return False
    chosen: Axis = [Span(Block(len(wanted)))]
    c.choices[node.name] = Choice(channels, chosen, tuple(wanted))
    c.produce(node.outputs[0], 1, chosen)
    return True


RULES: Mapping[str, Callable[[Coupling, Node], bool]] = {
    "activation": _same,
    "adaptive_avg_pool": _image,
    "add": _elementwise,
    "avg_pool": _image,
    "batch_norm": _batch_norm,
    "concat": _concat,
    "conv": _conv,
    "linear": _linear,
    "max_pool": _image,
    "mean": _image,
    "mul": _elementwise,
    "pad": _image,
    "pad_channels": _pad_channels,
    "reshape": _reshape,
    "select_channels": _select_channels,
    "softmax": _same,
    "subsample": _image,
}

"""add, mul, activation and batch_norm."""

from __future__ import annotations

import numpy as np
from edge_sparse.converters.graph import Node
from edge_sparse.converters.lowering.convolution import depthwise_weight
from edge_sparse.converters.lowering.draft import Draft, DraftTensor, activation_attributes
from edge_sparse.converters.lowering.window import window_attributes

from edge_sparse.errors import ConvertError
from edge_sparse.plan import Op

__all__ = ["activation", "add", "batch_norm", "mul"]


def add(draft: Draft, node: Node) -> None:
    """Lower to ADD."""
    _binary(draft, node, Op.ADD)


def mul(draft: Draft, node: Node) -> None:
    """Lower to MUL."""
    _binary(draft, node, Op.MUL)


def activation(draft: Draft, node: Node) -> None:
    """Lower to ACTIVATION."""
    image = draft.value(node.inputs[0]).is_image
    x = draft.image(node.inputs[0]) if image else draft.row_major(node.inputs[0])
    y = draft.produce(node.outputs[0], image=image)
    draft.step(Op.ACTIVATION, node.name, [x], y, activation_attributes(node))


def batch_norm(draft: Draft, node: Node) -> None:
    """Lower a normalisation that no convolution took in: a 1x1 depthwise convolution, or on rows MUL and ADD."""
    if len(draft.shape(node.inputs[0])) != 4:
        _batch_norm_of_rows(draft, node)
        return
    x = draft.image(node.inputs[0])
    weight = depthwise_weight(draft, node.inputs[1], draft.array(node.inputs[1]).reshape(-1, 1, 1))
    words, _ = window_attributes(Node("conv", node.name, [], []), (1, 1))
    y = draft.produce(node.outputs[0], image=True)
    inputs = [x, weight, draft.bias(node.inputs[2])]
    draft.step(Op.DWCONV, node.name, inputs, y, words | activation_attributes(node))


def _batch_norm_of_rows(draft: Draft, node: Node) -> None:
    x = draft.row_major(node.inputs[0])
    vectors = [draft.array(name).reshape(-1, *[1] * (len(x.shape) - 2)) for name in node.inputs[1:]]
    scale, shift = (np.ascontiguousarray(np.broadcast_to(vector, x.shape)) for vector in vectors)
    scaled = draft.temporary(f"{node.name}.scaled", x.shape, image=False)
    draft.step(
        Op.MUL, f"{node.name}.scale", [x, draft.constant(node.inputs[1], scale)], scaled, activation_attributes()
    )
    y = draft.produce(node.outputs[0], image=False)
    draft.step(Op.ADD, node.name, [scaled, draft.constant(node.inputs[2], shift)], y, activation_attributes(node))


def _binary(draft: Draft, node: Node, op: Op) -> None:
    shape = draft.shape(node.outputs[0])
    a_name, b_name = _ordered(draft, node, shape)
    image = draft.value(a_name).is_image or (
        not draft.is_constant(b_name) and draft.shape(b_name) == shape and draft.value(b_name).is_image
    )
    a = draft.image(a_name) if image else draft.row_major(a_name)
    b = _second(draft, node, a, b_name)
    draft.step(op, node.name, [a, b], draft.produce(node.outputs[0], image=image), activation_attributes(node))


def _ordered(draft: Draft, node: Node, shape: tuple[int, ...]) -> tuple[str, str]:
    """Return the operands with the one of full shape first."""
    first, second = node.inputs
    if draft.is_constant(first) or (draft.shape(first) != shape and draft.shape(second) == shape):
        first, second = second, first
    if draft.shape(first) != shape:
        _reject(draft, node)
    return first, second


def _second(draft: Draft, node: Node, a: DraftTensor, name: str) -> DraftTensor:
    """Return the second operand in one of the forms that ADD and MUL take."""
    shape = draft.shape(name)
    if draft.is_constant(name):
        return _constant_operand(draft, node, a, name)
    per_channel = len(a.shape) == 4 and len(shape) == 4 and shape[0] in (1, a.shape[0])
    per_channel = per_channel and shape[1:] == (a.shape[1], 1, 1)
    if a.is_image:
        if shape == a.shape and draft.value(name).is_image:
            return draft.image(name)
        if shape == a.shape and not per_channel:
            return draft.image(name)
        if per_channel:
            return draft.row_major(name)
    elif shape == a.shape:
        return draft.row_major(name)
    if int(np.prod(shape)) == 1:
        return draft.row_major(name)
    return _reject(draft, node)


def _constant_operand(draft: Draft, node: Node, a: DraftTensor, name: str) -> DraftTensor:
    data = draft.array(name)
    if data.size == 1:
        return draft.constant(name, data.reshape(1))
    try:
        full = np.broadcast_to(data, a.shape)
    except ValueError:
        return _reject(draft, node)
    if not a.is_image:
        return draft.constant(name, np.ascontiguousarray(full))
    channels = a.shape[1]
    if data.size == channels and (data.ndim < 4 or data.shape[1] == channels) and data.shape[-2:] == (1, 1):
        return draft.constant(name, np.ascontiguousarray(data.reshape(1, channels, 1, 1)))
    draft.tensors[name] = draft.constant(name, np.ascontiguousarray(full))
    return draft._as_layout(draft.tensors[name], draft.layout)


def _reject(draft: Draft, node: Node) -> DraftTensor:
    shapes = " and ".join(str(draft.shape(name)) for name in node.inputs)
    raise ConvertError(
        "BROADCAST_UNSUPPORTED",
        f"{node.op} {node.name} combines {shapes}",
        "one operand must have the shape of the result, the other the same, one value per channel, or one value",
    )

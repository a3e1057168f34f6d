"""concat, reshape, softmax, pad_channels and select_channels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Node
from edge_sparse.converters.lowering.convolution import spmm_attributes
from edge_sparse.converters.lowering.draft import Draft, DraftTensor

from edge_sparse.errors import ConvertError
from edge_sparse.plan import Layout, Op, Storage

__all__ = ["concat", "pad_channels", "reshape", "select_channels", "softmax"]


def concat(draft: Draft, node: Node) -> None:
    """Let producers write into slices of one tensor; copy those values that already have a place of their own."""
    shape = draft.shape(node.outputs[0])
    axis = int(node.attributes.get("axis", 1)) % len(shape)  # type: ignore[call-overload]
    image = any(draft.value(name).is_image for name in node.inputs)
    if axis != 1 and (image or axis != len(shape) - 1):
        raise ConvertError(
            "CONCAT_AXIS",
            f"{node.name} joins values of shape {shape} along axis {axis}",
            "images can be joined along channels, other values along the last axis",
        )
    whole = draft.produce(node.outputs[0], image=image)
    start = 0
    for name in node.inputs:
        _place(draft, node, name, whole, axis, start)
        start += draft.shape(name)[axis]


def _place(draft: Draft, node: Node, name: str, whole: DraftTensor, axis: int, start: int) -> None:
    tensor = draft.value(name)
    if tensor.parent is None and tensor.layout is whole.layout and _sliceable(tensor):
        tensor.parent, tensor.axis, tensor.start = whole, axis, start
        return
    view = DraftTensor(f"{node.name}.{name}", tensor.shape, whole.layout, parent=whole, axis=axis, start=start)
    draft.step(Op.COPY, f"{node.name}.{name}", [tensor], view)


def _sliceable(tensor: DraftTensor) -> bool:
    """Whether steps may write the tensor as a slice; elementwise steps need row-major tensors without gaps."""
    one_row = len(tensor.shape) >= 2 and tensor.shape[0] == 1 and set(tensor.shape[2:]) <= {1}
    return tensor.storage is Storage.ARENA and (tensor.is_image or one_row)


def reshape(draft: Draft, node: Node) -> None:
    """Reuse the memory where only trailing axes of length one change, else COPY."""
    x = draft.value(node.inputs[0])
    shape = draft.shape(node.outputs[0])
    same = _without_trailing_ones(shape) == _without_trailing_ones(x.shape)
    if same and x.storage is Storage.ARENA and not x.is_image and len(x.shape) >= 2 and len(shape) >= 2:
        draft.tensors[node.outputs[0]] = draft.squeezed(x, shape)
        return
    image = len(shape) == 4 and shape[2:] != (1, 1)
    draft.step(Op.COPY, node.name, [x], draft.produce(node.outputs[0], image=image))


def _without_trailing_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    kept = list(shape)
    while len(kept) > 2 and kept[-1] == 1:
        kept.pop()
    return tuple(kept)


def softmax(draft: Draft, node: Node) -> None:
    """Lower to SOFTMAX over rows."""
    x = draft.row_major(node.inputs[0], from_input=True)
    draft.step(Op.SOFTMAX, node.name, [x], draft.produce(node.outputs[0], image=False))


def pad_channels(draft: Draft, node: Node) -> None:
    """Lower zero channels before and after to a 1x1 convolution with a shifted identity matrix."""
    channels, inputs = draft.shape(node.outputs[0])[1], draft.shape(node.inputs[0])[1]
    before = int(node.attributes.get("before", 0))  # type: ignore[call-overload]
    _mix_channels(draft, node, np.eye(channels, inputs, -before, dtype=np.float32), 8)


def select_channels(draft: Draft, node: Node) -> None:
    """Read neighbouring channels in place; lower any other choice to a 1x1 convolution that copies channels."""
    channels = [int(channel) for channel in node.attributes["channels"]]  # type: ignore[attr-defined]
    inputs = draft.shape(node.inputs[0])[1]
    if channels[0] >= 0 and channels == list(range(channels[0], channels[-1] + 1)):
        view = draft.channels(draft.image(node.inputs[0]), channels[0], len(channels))
        draft.tensors[node.outputs[0]] = view
        return
    # The last row is zero: -1 picks it.
    _mix_channels(draft, node, np.eye(inputs + 1, inputs, dtype=np.float32)[channels], 1)


def _mix_channels(draft: Draft, node: Node, matrix: npt.NDArray[np.float32], group: int) -> None:
    x = draft.image(node.inputs[0])
    y = draft.produce(node.outputs[0], image=True)
    group = group if draft.layout is Layout.CHW else 16
    draft.step(Op.SPMM, node.name, [x], y, spmm_attributes(draft, node.name, matrix, group))

"""conv and linear: the steps SPMM and DWCONV."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Node
from edge_sparse.converters.lowering.draft import Draft, DraftTensor, activation_attributes
from edge_sparse.converters.lowering.window import pair, subsample_into, window_attributes

from edge_sparse.errors import ConvertError
from edge_sparse.format.packing import pack_dense
from edge_sparse.plan import Layout, Op, Storage

__all__ = ["conv", "linear", "spmm_attributes"]

#: Kept weights beyond half of a usual 512 KiB second-level cache are streamed once, strips outermost.
STREAMED_WEIGHT_BYTES = 256 * 1024

#: An NHWC product over at most this many input channels reads a CHW copy of the caller's CHW image. Interleaving
#: 3x224x224 pixels takes 130 us on Zen 4, copying their rows 30.
NARROW_CHANNELS = 4

_NO_WINDOW = {
    "kernel_h": 1,
    "kernel_w": 1,
    "stride_h": 1,
    "stride_w": 1,
    "dilation_h": 1,
    "dilation_w": 1,
    "pad_top": 0,
    "pad_left": 0,
}


def spmm_attributes(draft: Draft, name: str, weights: npt.NDArray[np.float32], group: int) -> dict[str, int | float]:
    """Pack a weight matrix and return the attributes of a 1x1 SPMM with it, without activation."""
    matrix = pack_dense(name, np.ascontiguousarray(weights, np.float32), group, dtype=draft.value_dtype)
    draft.matrices.append(matrix)
    streamed = matrix.kept_weights * draft.value_dtype.numpy.itemsize > STREAMED_WEIGHT_BYTES
    index = len(draft.matrices) - 1
    return {
        "matrix": index,
        **_NO_WINDOW,
        "phase_split": 0,
        "strips_outermost": int(streamed),
        "quantise_x": 0,
        **activation_attributes(),
    }


def default_group(draft: Draft, rows: int, *, image: bool) -> int:
    """Return the group size of a layer that was not pruned: the one whose dense kernel is fastest."""
    if not image:
        # One pixel: memory decides, and twice as many streams of weights read 1.3 times as fast (Zen 4).
        return 32 if rows >= 32 else 16
    if draft.layout is Layout.CHW:
        return 8
    return 32 if rows >= 32 else 16


def linear(draft: Draft, node: Node) -> None:
    """Lower a linear layer to a row-major SPMM."""
    x = draft.row_major(node.inputs[0], from_input=True)
    weights = draft.array(node.inputs[1])
    group = draft.groups.get(node.name) or default_group(draft, weights.shape[0], image=False)
    bias = draft.bias(node.inputs[2] if len(node.inputs) > 2 else None)
    attributes = spmm_attributes(draft, node.name, weights, group) | activation_attributes(node)
    draft.step(Op.SPMM, node.name, [x, bias], draft.produce(node.outputs[0], image=False), attributes)


def conv(draft: Draft, node: Node) -> None:
    """Lower a convolution: depthwise to DWCONV, 1x1 on 1x1 images to a row-major SPMM, all others to SPMM."""
    weights = draft.array(node.inputs[1])
    if weights.ndim != 4 or len(draft.shape(node.inputs[0])) != 4:
        raise ConvertError(
            "CONV_RANK",
            f"{node.name} is not a two-dimensional convolution (weight shape {weights.shape})",
            "only two-dimensional convolutions can be converted",
        )
    groups = _groups(node)
    channels = draft.shape(node.inputs[0])[1]
    if weights.shape[1] * groups != channels or weights.shape[0] % groups:
        raise ConvertError(
            "CONV_CHANNELS",
            f"{node.name}: weight {weights.shape} in {groups} groups does not fit {channels} input channels",
            "check the weight and the groups of this layer",
        )
    pointwise = weights.shape[2:] == (1, 1) and not any(_window(draft, node)[1])
    source = draft.value(node.inputs[0])
    if _is_depthwise(draft, node):
        _depthwise(draft, node, weights)
    elif pointwise and not source.is_image and source.storage is Storage.ARENA:
        _on_vectors(draft, node, _matrix_of(weights, groups))
    else:
        _on_images(draft, node, weights, groups)


def _groups(node: Node) -> int:
    return int(node.attributes.get("groups", 1))  # type: ignore[call-overload]


def _is_depthwise(draft: Draft, node: Node) -> bool:
    outputs, inputs_per_group = draft.shape(node.inputs[1])[:2]
    return outputs > 1 and inputs_per_group == 1 and _groups(node) == outputs


def _window(draft: Draft, node: Node) -> tuple[dict[str, int], tuple[int, int, int, int]]:
    height, width = draft.shape(node.inputs[1])[2:]
    return window_attributes(node, (height, width))


def _optional(node: Node, index: int) -> str | None:
    return node.inputs[index] if len(node.inputs) > index and node.inputs[index] else None


def _matrix_of(weights: npt.NDArray[np.float32], groups: int) -> npt.NDArray[np.float32]:
    """Flatten conv weights to rows x (kh, kw, ic); groups lie on the block diagonal."""
    rows, inputs, height, width = weights.shape
    if groups == 1:
        return weights.transpose(0, 2, 3, 1).reshape(rows, -1)
    matrix = np.zeros((rows, height, width, groups * inputs), np.float32)
    for group in range(groups):
        block = slice(group * rows // groups, (group + 1) * rows // groups)
        columns = slice(group * inputs, (group + 1) * inputs)
        matrix[block, :, :, columns] = weights[block].transpose(0, 2, 3, 1)
    return matrix.reshape(rows, -1)


def _group_of(draft: Draft, node: Node, rows: int, groups: int) -> int:
    """Group size of a convolution; the default for grouped ones divides the rows of a group, so no zero is kept."""
    group = draft.groups.get(node.name)
    if group:
        return group
    group = default_group(draft, rows, image=True)
    while groups > 1 and (rows // groups) % group:
        group //= 2
    return group


def _on_vectors(draft: Draft, node: Node, matrix: npt.NDArray[np.float32]) -> None:
    """1x1 convolution of 1x1 images (squeeze-and-excitation): a linear layer on (N, C)."""
    x = draft.row_major(node.inputs[0])
    y = draft.produce(node.outputs[0], image=False)
    batch, rows = y.shape[:2]
    residual_name = _optional(node, 3)
    residual = None
    if residual_name:
        residual = draft.squeezed(draft.row_major(residual_name), (batch, rows))
    group = draft.groups.get(node.name) or default_group(draft, rows, image=False)
    attributes = spmm_attributes(draft, node.name, matrix, group) | activation_attributes(node)
    inputs = [draft.squeezed(x, x.shape[:2]), draft.bias(_optional(node, 2)), residual]
    draft.step(Op.SPMM, node.name, inputs, draft.squeezed(y, (batch, rows)), attributes)


def _on_images(draft: Draft, node: Node, weights: npt.NDArray[np.float32], groups: int) -> None:
    window, _ = _window(draft, node)
    matrix = _matrix_of(weights, groups)
    group = _group_of(draft, node, weights.shape[0], groups)
    attributes = spmm_attributes(draft, node.name, matrix, group) | activation_attributes(node)
    x, phase_split, window = _spmm_source(draft, node, window)
    attributes |= {**window, "phase_split": int(phase_split)}
    residual_name = _optional(node, 3)
    residual = draft.image(residual_name) if residual_name else None
    y = draft.produce(node.outputs[0], image=True)
    draft.step(Op.SPMM, node.name, [x, draft.bias(_optional(node, 2)), residual], y, attributes)


def _spmm_source(draft: Draft, node: Node, window: dict[str, int]) -> tuple[DraftTensor, bool, dict[str, int]]:
    """Return what the SPMM reads: the image, its phases, or for a strided 1x1 the one phase that it needs."""
    name = node.inputs[0]
    stride = (window["stride_h"], window["stride_w"])
    if draft.layout is Layout.NHWC and _is_narrow_input(draft.value(name)):
        return draft.planes(name), False, window
    if draft.layout is Layout.NHWC or stride == (1, 1):
        return draft.image(name), False, window
    reads_one_phase = window == {**_NO_WINDOW, "stride_h": stride[0], "stride_w": stride[1]}
    if not reads_one_phase:
        return draft.phases(name, stride), True, window
    if any(_splits_phases(draft, other, stride) for other in draft.graph.consumers(name)):
        split = draft.phases(name, stride)
        return draft.channels(split, 0, draft.shape(name)[1]), False, dict(_NO_WINDOW)
    x = draft.image(name)
    batch, _, height, width = draft.shape(node.outputs[0])
    sampled = draft.temporary(f"{node.name}.sampled", (batch, x.shape[1], height, width), image=True)
    subsample_into(draft, f"{node.name}.subsample", x, sampled, stride)
    return sampled, False, dict(_NO_WINDOW)


def _is_narrow_input(tensor: DraftTensor) -> bool:
    """Whether a value is a caller's CHW array of few channels: copied as planes, it moves in whole rows."""
    return tensor.storage is Storage.INPUT and tensor.layout is Layout.CHW and tensor.shape[1] <= NARROW_CHANNELS


def _splits_phases(draft: Draft, node: Node, stride: tuple[int, int]) -> bool:
    if node.op != "conv" or pair(node.attributes.get("stride", 1)) != stride or _is_depthwise(draft, node):
        return False
    window, padding = _window(draft, node)
    return (window["kernel_h"], window["kernel_w"]) != (1, 1) or any(padding)


def _depthwise(draft: Draft, node: Node, weights: npt.NDArray[np.float32]) -> None:
    window, _ = _window(draft, node)
    x = draft.image(node.inputs[0])
    residual = _optional(node, 3)
    kernel = weights[:, 0]
    inputs: list[DraftTensor | None] = [x, depthwise_weight(draft, node.inputs[1], kernel)]
    inputs.append(draft.bias(_optional(node, 2)))
    activation = activation_attributes(node)
    if residual is None:
        draft.step(Op.DWCONV, node.name, inputs, draft.produce(node.outputs[0], image=True), window | activation)
        return
    filtered = draft.temporary(f"{node.name}.filtered", draft.shape(node.outputs[0]), image=True)
    draft.step(Op.DWCONV, node.name, inputs, filtered, window | activation_attributes())
    other = draft.image(residual)
    y = draft.produce(node.outputs[0], image=True)
    draft.step(Op.ADD, f"{node.name}.residual", [filtered, other], y, activation)


def depthwise_weight(draft: Draft, name: str, kernel: npt.NDArray[np.float32]) -> DraftTensor:
    """Make the constant (C, kh, kw), channels fastest in memory when images are NHWC."""
    if draft.layout is Layout.NHWC:
        kernel = np.ascontiguousarray(kernel.transpose(1, 2, 0)).transpose(2, 0, 1)
    else:
        kernel = np.ascontiguousarray(kernel)
    return draft.constant(name, kernel)

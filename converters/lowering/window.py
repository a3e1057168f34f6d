"""Pools, mean, pad and subsample: operations that move a window over an image."""

from __future__ import annotations

from edge_sparse.converters.graph import Node
from edge_sparse.converters.lowering.draft import Draft, DraftTensor, activation_attributes

from edge_sparse.errors import ConvertError
from edge_sparse.plan import Op

__all__ = [
    "adaptive_avg_pool",
    "avg_pool",
    "max_pool",
    "mean",
    "pad",
    "pair",
    "subsample",
    "subsample_into",
    "window_attributes",
]


def pair(value: object) -> tuple[int, int]:
    """Return a number as (number, number) and a pair as it is."""
    if isinstance(value, (tuple, list)):
        first, second = value
        return int(first), int(second)
    return int(value), int(value)  # type: ignore[call-overload]


def window_attributes(
    node: Node, kernel: tuple[int, int] | None = None
) -> tuple[dict[str, int], tuple[int, int, int, int]]:
    """Return the window words of a conv or pool step, and the padding (top, left, bottom, right).

    A conv passes the ``kernel`` of its weight and has stride 1 by default; a pool has a stride of its kernel.
    """
    attributes = node.attributes
    default_stride = (1, 1) if kernel else pair(attributes.get("kernel", 1))
    kernel = kernel or pair(attributes.get("kernel", 1))
    stride = pair(attributes.get("stride") or default_stride)
    dilation = pair(attributes.get("dilation", 1))
    padding = tuple(int(side) for side in attributes.get("padding", (0, 0, 0, 0)))  # type: ignore[attr-defined]
    if len(padding) != 4 or min(padding) < 0:
        raise ConvertError(
            "PADDING_UNSUPPORTED",
            f"padding {padding} of {node.name} is not four non-negative numbers (top, left, bottom, right)",
            "use non-negative padding in the source model",
        )
    words = {
        "kernel_h": kernel[0],
        "kernel_w": kernel[1],
        "stride_h": stride[0],
        "stride_w": stride[1],
        "dilation_h": dilation[0],
        "dilation_w": dilation[1],
        "pad_top": padding[0],
        "pad_left": padding[1],
    }
    return words, (padding[0], padding[1], padding[2], padding[3])


def max_pool(draft: Draft, node: Node) -> None:
    """Lower to MAX_POOL."""
    x = draft.image(node.inputs[0])
    draft.step(Op.MAX_POOL, node.name, [x], draft.produce(node.outputs[0], image=True), window_attributes(node)[0])


def avg_pool(draft: Draft, node: Node) -> None:
    """Lower to AVG_POOL, or to MEAN when one window covers the image."""
    x = draft.image(node.inputs[0])
    window, padding = window_attributes(node)
    covers = (window["kernel_h"], window["kernel_w"]) == x.shape[2:] and not any(padding)
    if covers and draft.shape(node.outputs[0])[2:] == (1, 1):
        _mean_of(draft, node, x)
        return
    attributes = {
        **window,
        "pad_bottom": padding[2],
        "pad_right": padding[3],
        "count_include_pad": int(bool(node.attributes.get("count_include_pad", True))),
    }
    draft.step(Op.AVG_POOL, node.name, [x], draft.produce(node.outputs[0], image=True), attributes)


def adaptive_avg_pool(draft: Draft, node: Node) -> None:
    """Lower to ADAPTIVE_AVG_POOL, or to MEAN when the output is one pixel."""
    x = draft.image(node.inputs[0])
    if draft.shape(node.outputs[0])[2:] == (1, 1):
        _mean_of(draft, node, x)
        return
    draft.step(Op.ADAPTIVE_AVG_POOL, node.name, [x], draft.produce(node.outputs[0], image=True))


def mean(draft: Draft, node: Node) -> None:
    """Lower the mean over all pixels to MEAN."""
    _mean_of(draft, node, draft.image(node.inputs[0]))


def _mean_of(draft: Draft, node: Node, x: DraftTensor) -> None:
    y = draft.produce(node.outputs[0], image=False)
    draft.step(Op.MEAN, node.name, [x], y, activation_attributes(node))


def pad(draft: Draft, node: Node) -> None:
    """Lower to PAD."""
    x = draft.image(node.inputs[0])
    _, padding = window_attributes(Node("pad", node.name, [], [], {"padding": node.attributes["padding"]}))
    value = float(node.attributes.get("value", 0.0))  # type: ignore[arg-type]
    attributes: dict[str, int | float] = {"pad_top": padding[0], "pad_left": padding[1], "value": value}
    draft.step(Op.PAD, node.name, [x], draft.produce(node.outputs[0], image=True), attributes)


def subsample(draft: Draft, node: Node) -> None:
    """Lower the slice ``[::s, ::s]``."""
    x = draft.image(node.inputs[0])
    y = draft.produce(node.outputs[0], image=True)
    subsample_into(draft, node.name, x, y, pair(node.attributes["stride"]))


def subsample_into(draft: Draft, name: str, x: DraftTensor, y: DraftTensor, stride: tuple[int, int]) -> None:
    """Take every ``stride``-th pixel: the maximum over windows of one pixel."""
    words, _ = window_attributes(Node("max_pool", name, [], [], {"kernel": 1, "stride": stride}))
    draft.step(Op.MAX_POOL, name, [x], y, words)

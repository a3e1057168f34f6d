"""How image tensors lie in memory: borders, row strides shared along flat steps, planes and pixels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from edge_sparse.converters.lowering.draft import DraftStep, DraftTensor

from edge_sparse.plan import VECTOR_SLACK, Border, Layout, Op, Storage, row_major_strides

__all__ = ["Placement", "place", "placements"]

#: Plane strides that are a multiple of this many elements make all channels of a pixel fall into one cache set.
ALIASING_ELEMENTS = 1024
#: The same for the pixels of an NHWC tile; with 14 of them already 2048 bytes apart, two sets of eight lines are full.
#: Measured on Zen 4: 1024 x 1024 on 7x7 pixels takes 1.5 ms with pixels 4096 bytes apart.
ALIASING_CHANNELS = 512


@dataclass(frozen=True)
class Placement:
    """Strides of a tensor in elements, its element zero, and the memory it owns, inside its root's memory.

    ``first`` and ``end`` bound the owned elements (border, gaps and slack included); ``origin`` is element zero.
    A root owns ``[0, end)``.
    """

    strides: tuple[int, ...]
    border: Border
    origin: int
    first: int
    end: int


def placements(steps: Sequence[DraftStep]) -> dict[DraftTensor, Placement]:
    """Lay out every arena tensor that owns memory.

    Parameters
    ----------
    steps : sequence of DraftStep
        All steps of the plan.

    Returns
    -------
    dict
        The placement of every root in the arena; ``place`` derives those of views.
    """
    roots = _roots(steps)
    borders = _borders(steps, roots)
    classes = _row_stride_classes(steps, roots)
    pixels_per_row: dict[int, int] = {}
    for root in roots:
        if root.is_image:
            border = borders[root]
            needed = root.shape[3] + max(border.left, border.right)
            pixels_per_row[classes[root]] = max(needed, pixels_per_row.get(classes[root], 0))
    return {
        root: _lay_out(root, borders[root], pixels_per_row[classes[root]]) if root.is_image else _rows(root)
        for root in roots
    }


def place(tensor: DraftTensor, roots: dict[DraftTensor, Placement]) -> Placement:
    """Return the placement of a tensor or view inside its root's memory."""
    if tensor.parent is None:
        return roots[tensor]
    whole = place(tensor.parent, roots)
    rank, whole_rank = len(tensor.shape), len(tensor.parent.shape)
    strides = whole.strides[:rank] + (1,) * (rank - whole_rank)
    origin = whole.origin + tensor.start * whole.strides[tensor.axis]
    if not tensor.is_image:
        last = sum((length - 1) * stride for length, stride in zip(tensor.shape, strides, strict=True))
        return Placement(strides, Border(), origin, origin, min(whole.end, origin + last + 1))
    end_of_root = roots[tensor.root].end
    first, end = _bounds(tensor, strides, whole.border, origin)
    return replace(whole, origin=origin, first=first, end=min(end, end_of_root))


def _roots(steps: Iterable[DraftStep]) -> list[DraftTensor]:
    found: dict[DraftTensor, None] = {}
    for step in steps:
        for tensor in (*step.inputs, step.output):
            if tensor is not None and tensor.root.storage is Storage.ARENA:
                found[tensor.root] = None
    return list(found)


def _borders(steps: Iterable[DraftStep], roots: Iterable[DraftTensor]) -> dict[DraftTensor, Border]:
    borders = dict.fromkeys(roots, Border())
    for step in steps:
        x = step.inputs[0]
        if step.op not in (Op.SPMM, Op.DWCONV) or x is None or not x.is_image:
            continue
        old, need = borders[x.root], _need(step, x)
        borders[x.root] = Border(
            max(old.top, need.top),
            max(old.left, need.left),
            max(old.bottom, need.bottom),
            max(old.right, need.right),
        )
    return borders


def _need(step: DraftStep, x: DraftTensor) -> Border:
    top, bottom = _reach(step, "h", "top", x.shape[2], step.output.shape[2])
    left, right = _reach(step, "w", "left", x.shape[3], step.output.shape[3])
    return Border(top, left, bottom, right)


def _reach(step: DraftStep, axis: str, side: str, length: int, outputs: int) -> tuple[int, int]:
    """Return how many zero rows (columns) the windows read before the first and after the last real one."""
    attributes = step.attributes
    stride = int(attributes[f"stride_{axis}"])
    taps = range(int(attributes[f"kernel_{axis}"]))
    offsets = [tap * int(attributes[f"dilation_{axis}"]) - int(attributes[f"pad_{side}"]) for tap in taps]
    if attributes.get("phase_split"):
        offsets = [offset // stride for offset in offsets]
        stride = 1
    return max(0, -min(offsets)), max(0, (outputs - 1) * stride + max(offsets) - (length - 1))


def _row_stride_classes(steps: Iterable[DraftStep], roots: Iterable[DraftTensor]) -> dict[DraftTensor, int]:
    """Return for each root the number of its set; a set shares a row stride as steps run flat over it."""
    leaders = {root: root for root in roots}

    def find(root: DraftTensor) -> DraftTensor:
        while leaders[root] is not root:
            root = leaders[root]
        return root

    for step in steps:
        for tensor in _flat_inputs(step):
            leaders[find(tensor.root)] = find(step.output.root)
    numbers: dict[DraftTensor, int] = {}
    return {root: numbers.setdefault(find(root), len(numbers)) for root in leaders}


def _flat_inputs(step: DraftStep) -> list[DraftTensor]:
    """Return the inputs that a step addresses with the same flat pixel index as its output."""
    images = [tensor for tensor in step.inputs if tensor is not None and tensor.is_image]
    if not step.output.is_image:
        return []
    if step.op in (Op.ADD, Op.MUL, Op.ACTIVATION):
        return [tensor for tensor in images if tensor.shape == step.output.shape]
    if step.op is not Op.SPMM:
        return []
    attributes = step.attributes
    unit = (attributes["stride_h"], attributes["stride_w"]) == (1, 1) or bool(attributes.get("phase_split"))
    return images if unit else images[1:]


def _rows(root: DraftTensor) -> Placement:
    strides = row_major_strides(root.shape)
    size = strides[0] * root.shape[0] if root.shape else 1
    return Placement(strides, Border(), 0, 0, _round_up(size, VECTOR_SLACK) + VECTOR_SLACK)


def _lay_out(root: DraftTensor, border: Border, row: int) -> Placement:
    """Place a root: pixel zero 64-byte aligned after its border, planes apart enough for border and slack."""
    _, channels, height, width = root.shape
    before = border.top * row + border.left
    pixels = (height - 1) * row + width
    after = border.bottom * row + border.right
    if root.layout is Layout.NHWC:
        pixel = channels + VECTOR_SLACK if channels % ALIASING_CHANNELS == 0 else channels
        origin = _round_up(before * pixel, VECTOR_SLACK)
        image = _round_up(origin + (pixels + after) * pixel + VECTOR_SLACK, VECTOR_SLACK)
        strides = (image, 1, row * pixel, pixel)
    else:
        origin = _round_up(before, VECTOR_SLACK)
        body = max(_round_up(pixels, VECTOR_SLACK), pixels + after)
        plane = _round_up(before + body, VECTOR_SLACK)
        plane += VECTOR_SLACK if plane % ALIASING_ELEMENTS == 0 else 0
        strides = (channels * plane, plane, row, 1)
    end = _bounds(root, strides, border, origin)[1]
    return Placement(strides, border, origin, 0, _round_up(end, VECTOR_SLACK))


def _bounds(tensor: DraftTensor, strides: tuple[int, ...], border: Border, origin: int) -> tuple[int, int]:
    """Return the first and one-past-last element of an image with its border and vector slack."""
    batch, channels, height, width = tensor.shape
    pixel = strides[3]
    row = strides[2] // pixel
    pixels = (height - 1) * row + width
    first = origin - (border.top * row + border.left) * pixel
    after = border.bottom * row + border.right
    last_plane = origin + (batch - 1) * strides[0] + (channels - 1) * strides[1]
    if tensor.layout is Layout.NHWC:
        return first, last_plane + (pixels - 1 + after) * pixel + 1 + VECTOR_SLACK
    return first, last_plane + _round_up(pixels, VECTOR_SLACK) + after


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple

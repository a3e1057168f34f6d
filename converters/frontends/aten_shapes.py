"""Rules for operators that move elements: reshapes, slices, concatenations, padding, and those that do nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from edge_sparse.converters.frontends.aten_call import Call, Unsupported, shape_of
from edge_sparse.converters.frontends.aten_translation import Translation

__all__ = [
    "cast",
    "channel_shuffle",
    "concat",
    "dropout",
    "expand",
    "pad",
    "permute",
    "reshape",
    "same",
    "slice_axis",
    "split",
]


#: Stands for infinity, which no file holds.
_LARGEST = float(np.finfo(np.float32).max)


def same(t: Translation, call: Call) -> str:
    """Pass on the input."""
    return t.tensor(call["input"] if "input" in call.arguments else call["self"])


def dropout(t: Translation, call: Call) -> str:
    """Nothing in inference."""
    if call["train"]:
        raise Unsupported("dropout in training mode: call model.eval() before the export")
    return same(t, call)


def cast(t: Translation, call: Call) -> str:
    """Nothing where the type stays."""
    before, after = call["self"].meta["val"].dtype, call.node.meta["val"].dtype
    if before != after:
        raise Unsupported(f"cast from {before} to {after}".replace("torch.", ""))
    return same(t, call)


def reshape(t: Translation, call: Call) -> str:
    """View, reshape, flatten, squeeze and unsqueeze."""
    x = t.tensor(call["self"])
    return x if t.shape(x) == call.shape else t.emit(call, "reshape", [x])


def permute(t: Translation, call: Call) -> str:
    """Permutations that move only axes of length one, and the one in the middle of a channel shuffle."""
    shape = call.shape_of("self")
    order = _order(call, len(shape))
    if [axis for axis in order if shape[axis] != 1] == [axis for axis in range(len(shape)) if shape[axis] != 1]:
        return reshape(t, call)
    if order == [0, 2, 1, 3, 4] and _is_shuffle(call.node):
        return _shuffled(t, call, t.tensor(call["self"].all_input_nodes[0]), shape[1])
    raise Unsupported(f"permutation {tuple(order)} of shape {shape}")


def _is_shuffle(node: Any) -> bool:
    """Tell whether a five-axis permutation stands between reshapes from and to the same image."""
    sources = node.all_input_nodes[0].all_input_nodes
    image = shape_of(sources[0]) if sources else ()
    if len(image) != 4 or image[2:] != shape_of(node)[3:]:
        return False
    pending = list(node.users)
    while pending:
        user = pending.pop()
        if shape_of(user) == image:
            continue
        if str(user.target) not in ("aten.clone.default", "aten.contiguous.default"):
            return False
        pending += user.users
    return True


def _shuffled(t: Translation, call: Call, x: str, groups: int) -> str:
    shape = t.shape(x)
    each = shape[1] // groups
    channels = tuple(group * each + index for index in range(each) for group in range(groups))
    return t.emit(call, "select_channels", [x], shape=shape, channels=channels)


def channel_shuffle(t: Translation, call: Call) -> str:
    """Channel shuffle as an operator."""
    if len(call.shape) != 4:
        raise Unsupported(f"channel shuffle of shape {call.shape}")
    return _shuffled(t, call, t.tensor(call["self"]), int(call["groups"]))


def _order(call: Call, rank: int) -> list[int]:
    if "dims" in call.arguments:
        return [int(axis) % rank for axis in call["dims"]]
    order = list(range(rank))
    if rank < 2:
        return order
    first, second = call.get("dim0", 0), call.get("dim1", 1)
    order[first], order[second] = order[second], order[first]
    return order


def expand(t: Translation, call: Call) -> str:
    """Broadcast; the sum or product that takes the result broadcasts itself."""
    x = t.tensor(call["self"], expanded=True)
    if t.shape(x) != call.shape:
        t.expanded.add(call.node)
    return x


def concat(t: Translation, call: Call) -> str:
    """Concatenation along channels, or along the last axis of what is no image."""
    rank = len(call.shape)
    axis = int(call["dim"]) % rank
    if axis != 1 and (rank == 4 or axis != rank - 1):
        raise Unsupported(f"concatenation along axis {axis} of {rank}")
    return t.emit(call, "concat", [t.tensor(node) for node in call["tensors"]], axis=axis)


def pad(t: Translation, call: Call) -> str:
    """Constant padding of rows, columns and channels."""
    if call.get("mode", "constant") != "constant":
        raise Unsupported(f"padding mode {call['mode']!r}")
    sides = [int(side) for side in call["pad"]]
    sides += [0] * (8 - len(sides))
    if len(call.shape) != 4 or min(sides) < 0 or any(sides[6:]):
        raise Unsupported(f"padding {call['pad']} of shape {call.shape_of('self')}")
    value = min(max(float(call.get("value") or 0.0), -_LARGEST), _LARGEST)
    left, right, top, bottom, before, after = sides[:6]
    x = t.tensor(call["self"])
    if before or after:
        if value:
            raise Unsupported("padding of channels with other values than zero")
        batch, channels, height, width = t.shape(x)
        shape = (batch, channels + before + after, height, width)
        x = t.emit(call, "pad_channels", [x], shape=shape, before=before, after=after)
    if any((left, right, top, bottom)):
        x = t.emit(call, "pad", [x], padding=(top, left, bottom, right), value=value)
    return x


def slice_axis(t: Translation, call: Call) -> str:
    """Slices of channels, and every n-th row or column from the first."""
    x = t.tensor(call["self"])
    shape = t.shape(x)
    axis, step = int(call["dim"]) % len(shape), int(call["step"])
    start, end, step = slice(call["start"], call["end"], step).indices(shape[axis])
    if (start, step) == (0, 1) and end == shape[axis]:
        return x
    if axis == 1 and len(shape) == 4:
        return t.emit(call, "select_channels", [x], channels=tuple(range(start, end, step)))
    if axis in (2, 3) and len(shape) == 4 and start == 0 and len(range(0, end, step)) == -(-shape[axis] // step):
        return t.emit(call, "subsample", [x], stride=(step, 1) if axis == 2 else (1, step))
    raise Unsupported(f"slice {start}:{end}:{step} of axis {axis} of {shape}")


def split(t: Translation, call: Call) -> tuple[str, ...]:
    """Split and chunk along channels; only parts that somebody reads are made."""
    shape = call.shape_of("self")
    if len(shape) != 4 or int(call["dim"]) % 4 != 1:
        raise Unsupported(f"split of axis {call['dim']} of shape {shape}; only channels of (N, C, H, W) can be split")
    x = t.tensor(call["self"])
    read = {int(user.args[1]) for user in call.node.users if user.users}
    parts, start = [], 0
    for index, part in enumerate(call.node.meta["val"]):
        part_shape = shape_of(_Part(part))
        channels = tuple(range(start, start + part_shape[1]))
        start += part_shape[1]
        part_name = ""
        if index in read:
            part_name = t.emit(call, "select_channels", [x], shape=part_shape, channels=channels)
        parts.append(part_name)
    return tuple(parts)


class _Part:
    """One tensor of a tuple, with the metadata of a node."""

    def __init__(self, value: Any) -> None:
        self.meta = {"val": value}

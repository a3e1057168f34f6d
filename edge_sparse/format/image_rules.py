"""Rules of elementwise steps, pools, copies and the other operations on images and rows."""

from __future__ import annotations

import math

from edge_sparse.format.spec import WINDOW_LIMIT
from edge_sparse.format.step_view import StepView
from edge_sparse.plan import Layout, Op, Storage, Tensor

__all__ = ["IMAGE_RULES"]

_IMAGES = (Layout.CHW, Layout.NHWC)


def _floats(view: StepView) -> tuple[Tensor, Tensor]:
    """Return x and y, which hold floats."""
    x, y = view.needed(0), view.y
    view.need_float(x, "x")
    view.need_float(y, "y")
    return x, y


def _binary(view: StepView) -> None:
    view.need_activation()
    a, y = _floats(view)
    b = view.needed(1)
    view.need_float(b, "b")
    _same(view, a, y, "a")
    if b.shape == a.shape:
        _same(view, b, y, "b")
        return
    view.need(b.symbol_axis < 0, "STEP_SYMBOL", "b has another shape and follows the symbol")
    if math.prod(b.shape) == 1:
        return
    fits = len(a.shape) == 4 and b.shape[0] in (1, a.shape[0]) and b.shape[1:] == (a.shape[1], 1, 1)
    view.need(fits, "STEP_SHAPE", f"b of shape {b.shape} does not fit a of shape {a.shape}")
    view.need_layout(b, "b", (Layout.ROW_MAJOR,))
    view.need(b.strides[1] == 1, "STEP_STRIDES", "b has gaps between channels")


def _same(view: StepView, a: Tensor, y: Tensor, name: str) -> None:
    view.need_shape(a, name, y.shape)
    view.need_layout(a, name, (y.layout,))
    view.need_same_symbol(a, name)
    if y.layout is Layout.ROW_MAJOR:
        view.need(a.storage is not Storage.CONSTANT or _dense(a), "STEP_STRIDES", f"{name} is stored in another order")


def _dense(tensor: Tensor) -> bool:
    step = 1
    for stride, length in zip(reversed(tensor.strides), reversed(tensor.shape), strict=True):
        if length > 1 and stride != step:
            return False
        step *= length
    return True


def _activation(view: StepView) -> None:
    view.need_activation()
    x, y = _floats(view)
    _same(view, x, y, "x")


def _images(view: StepView, *, one_layout: bool) -> tuple[Tensor, Tensor]:
    """Return x and y: images with the same number of images and channels."""
    x, y = _floats(view)
    view.need_layout(x, "x", (y.layout,) if one_layout else _IMAGES)
    view.need_layout(y, "y", _IMAGES)
    view.need(x.shape[:2] == y.shape[:2], "STEP_SHAPE", f"x has shape {x.shape}, y {y.shape}")
    return x, y


def _pool(view: StepView) -> None:
    view.need_window()
    x, y = _images(view, one_layout=True)
    for axis, pad, length, outputs in (("h", "pad_top", *_lengths(x, y, 2)), ("w", "pad_left", *_lengths(x, y, 3))):
        kernel, stride = view.word(f"kernel_{axis}"), view.word(f"stride_{axis}")
        dilation, before = view.word(f"dilation_{axis}"), view.word(pad)
        # Every window then holds at least one pixel of the image.
        fits = before <= (kernel - 1) * dilation and (outputs - 1) * stride - before < length
        fits = fits and (kernel == 1 or dilation <= length)
        view.need(fits, "STEP_WINDOW", f"a window along {axis} lies outside the image")
    if view.step.op is Op.AVG_POOL:
        view.need_word("pad_bottom", 0, WINDOW_LIMIT)
        view.need_word("pad_right", 0, WINDOW_LIMIT)
        view.need_word("count_include_pad", 0, 1)


def _lengths(x: Tensor, y: Tensor, axis: int) -> tuple[int, int]:
    return x.shape[axis], y.shape[axis]


def _adaptive_avg_pool(view: StepView) -> None:
    _images(view, one_layout=False)


def _mean(view: StepView) -> None:
    view.need_activation()
    x, y = _floats(view)
    view.need_layout(x, "x", _IMAGES)
    # The last row of a plane is read in whole vectors.
    view.need_storage(x, "x", (Storage.ARENA,))
    fits = len(y.shape) >= 2 and y.shape[:2] == x.shape[:2] and set(y.shape[2:]) <= {1}
    view.need(fits and y.symbol_axis < 0, "STEP_SHAPE", f"y has shape {y.shape}, x {x.shape}")
    view.need(y.strides[1] == 1 or y.shape[1] == 1, "STEP_STRIDES", "y has gaps between channels")


def _softmax(view: StepView) -> None:
    x, y = _floats(view)
    for tensor, name in ((x, "x"), (y, "y")):
        view.need_even_rows(tensor, name)
    view.need_shape(x, "x", y.shape)
    view.need_same_symbol(x, "x")


def _copy(view: StepView) -> None:
    x, y = _floats(view)
    view.need(math.prod(x.shape) == math.prod(y.shape), "STEP_SHAPE", f"x has shape {x.shape}, y {y.shape}")
    view.need_same_symbol(x, "x")
    if y.symbol_axis == 0:
        view.need(x.shape[0] == y.shape[0], "STEP_SHAPE", f"x has shape {x.shape}, y {y.shape}")


def _phase_split(view: StepView) -> None:
    x, y = _floats(view)
    view.need_layout(x, "x", _IMAGES)
    view.need_layout(y, "y", _IMAGES)
    stride_h, stride_w = view.need_word("stride_h", 1, WINDOW_LIMIT), view.need_word("stride_w", 1, WINDOW_LIMIT)
    batch, channels, height, width = x.shape
    shape = (batch, stride_h * stride_w * channels, -(-height // stride_h), -(-width // stride_w))
    view.need_shape(y, "y", shape)


def _pad(view: StepView) -> None:
    x, y = _images(view, one_layout=False)
    view.need_number("value", finite=False)
    for name, axis in (("pad_top", 2), ("pad_left", 3)):
        before = view.need_word(name, 0, WINDOW_LIMIT)
        fits = before + x.shape[axis] <= y.shape[axis]
        view.need(fits, "STEP_SHAPE", f"{x.shape} with {name} {before} does not fit {y.shape}")


IMAGE_RULES = {
    Op.ADD: _binary,
    Op.MUL: _binary,
    Op.ACTIVATION: _activation,
    Op.MAX_POOL: _pool,
    Op.AVG_POOL: _pool,
    Op.ADAPTIVE_AVG_POOL: _adaptive_avg_pool,
    Op.MEAN: _mean,
    Op.SOFTMAX: _softmax,
    Op.COPY: _copy,
    Op.PHASE_SPLIT: _phase_split,
    Op.PAD: _pad,
}

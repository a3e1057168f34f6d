"""Rules for pools and means."""

from __future__ import annotations

import math
from typing import Any

from edge_sparse.converters.frontends.aten_call import Call, Unsupported
from edge_sparse.converters.frontends.aten_translation import Translation

__all__ = ["adaptive_avg_pool", "adaptive_max_pool", "avg_pool", "max_pool", "mean"]


def _image(t: Translation, call: Call) -> str:
    if len(call.shape_of("self")) != 4:
        raise Unsupported(f"input of shape {call.shape_of('self')} instead of (N, C, H, W)")
    return t.tensor(call["self"])


def _window(call: Call) -> dict[str, Any]:
    kernel = call.pair("kernel_size")
    vertical, horizontal = call.pair("padding")
    return {
        "kernel": kernel,
        "stride": call.pair("stride") if call["stride"] else kernel,
        "padding": (vertical, horizontal, vertical, horizontal),
    }


def max_pool(t: Translation, call: Call) -> str | tuple[str, ...]:
    """max_pool2d, with or without the unused indices."""
    y = t.emit(call, "max_pool", [_image(t, call)], dilation=call.pair("dilation"), **_window(call))
    return (y,) if "indices" in call.operator else y


def avg_pool(t: Translation, call: Call) -> str:
    """avg_pool2d; a divisor of its own becomes a factor where all windows have the same size."""
    window = _window(call)
    counted = bool(call["count_include_pad"])
    divisor = call["divisor_override"]
    if not divisor:
        return t.emit(call, "avg_pool", [_image(t, call)], count_include_pad=counted, **window)
    if not _windows_fit(call):
        raise Unsupported("divisor_override with windows that reach past the padding")
    y = t.emit(call, "avg_pool", [_image(t, call)], count_include_pad=True, **window)
    factor = math.prod(call.pair("kernel_size")) / float(divisor)
    return t.emit(call, "mul", [y, t.constant("number", [factor])])


def _windows_fit(call: Call) -> bool:
    kernel, padding = call.pair("kernel_size"), call.pair("padding")
    stride = call.pair("stride") if call["stride"] else kernel
    sizes = zip(call.shape_of("self")[2:], call.shape[2:], kernel, stride, padding, strict=True)
    return all((outputs - 1) * step + taps <= length + 2 * pad for length, outputs, taps, step, pad in sizes)


def adaptive_avg_pool(t: Translation, call: Call) -> str:
    """adaptive_avg_pool2d to any size."""
    height, width = call.shape[2:] if len(call.shape) == 4 else (0, 0)
    return t.emit(call, "adaptive_avg_pool", [_image(t, call)], output_size=(height, width))


def adaptive_max_pool(t: Translation, call: Call) -> str | tuple[str, ...]:
    """adaptive_max_pool2d to a size that divides the image: a plain pool."""
    x = _image(t, call)
    pairs = list(zip(call.shape_of("self")[2:], call.shape[2:], strict=True))
    if any(length % outputs for length, outputs in pairs):
        raise Unsupported("adaptive maximum over windows of different sizes")
    kernel = tuple(length // outputs for length, outputs in pairs)
    y = t.emit(call, "max_pool", [x], kernel=kernel, stride=kernel, dilation=(1, 1), padding=(0, 0, 0, 0))
    return (y,)


def mean(t: Translation, call: Call) -> str:
    """Mean over all pixels, over rows or over columns of (N, C, H, W), and over the last axis of (N, C, L)."""
    shape = call.shape_of("self")
    axes = sorted(int(axis) % len(shape) for axis in call["dim"] or range(len(shape)))
    if len(shape) == 4 and axes == [2, 3]:
        return t.emit(call, "mean", [t.tensor(call["self"])], keepdim=bool(call["keepdim"]))
    if (len(shape), axes) not in ((4, [2]), (4, [3]), (3, [2])):
        raise Unsupported(f"mean over axes {axes} of shape {shape}; only pixels can be averaged")
    return _mean_of_one_axis(t, call, axes[0])


def _mean_of_one_axis(t: Translation, call: Call, axis: int) -> str:
    x, shape = t.tensor(call["self"]), call.shape_of("self")
    if len(shape) == 3:
        shape = (*shape, 1)
        x = t.emit(call, "reshape", [x], shape=shape)
    kernel = (shape[2], 1) if axis == 2 else (1, shape[3])
    averaged = (*shape[:2], shape[2] // kernel[0], shape[3] // kernel[1])
    window: dict[str, Any] = {"kernel": kernel, "stride": kernel, "padding": (0, 0, 0, 0), "count_include_pad": False}
    y = t.emit(call, "avg_pool", [x], shape=averaged, **window)
    return y if averaged == call.shape else t.emit(call, "reshape", [y])

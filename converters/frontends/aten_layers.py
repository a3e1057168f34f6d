"""Rules for convolutions, linear layers and batch normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from edge_sparse.converters.frontends.aten_call import Call, Unsupported, shape_of
from edge_sparse.converters.frontends.aten_translation import Translation

__all__ = ["addmm", "batch_norm", "convolution", "linear", "matmul"]


def convolution(t: Translation, call: Call) -> str:
    """conv2d with numbers or a word for padding, and the general convolution."""
    if call.get("transposed"):
        raise Unsupported("transposed convolution")
    if len(call.shape_of("input")) != 4 or len(call.shape_of("weight")) != 4:
        raise Unsupported("only two-dimensional convolutions of (N, C, H, W)")
    kernel, dilation = call.shape_of("weight")[2:], call.pair("dilation")
    inputs = [t.tensor(call["input"]), t.weight(call["weight"])]
    if call["bias"] is not None:
        inputs.append(t.weight(call["bias"]))
    return t.emit(
        call,
        "conv",
        inputs,
        stride=call.pair("stride"),
        dilation=dilation,
        padding=_padding(call, (kernel[0], kernel[1]), dilation),
        groups=int(call["groups"]),
    )


def _padding(call: Call, kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int, int, int]:
    if call["padding"] == "valid":
        return (0, 0, 0, 0)
    if call["padding"] == "same":
        height, width = ((taps - 1) * step for taps, step in zip(kernel, dilation, strict=True))
        return (height // 2, width // 2, height - height // 2, width - width // 2)
    vertical, horizontal = call.pair("padding")
    return (vertical, horizontal, vertical, horizontal)


def linear(t: Translation, call: Call) -> str:
    """Linear layer."""
    inputs = [t.tensor(call["input"]), t.weight(call["weight"])]
    if call["bias"] is not None:
        inputs.append(t.weight(call["bias"]))
    return t.emit(call, "linear", inputs)


def addmm(t: Translation, call: Call) -> str:
    """Product with a constant matrix plus a constant vector."""
    if call["alpha"] != 1 or call["beta"] != 1:
        raise Unsupported("addmm with alpha or beta other than 1")
    if len(call.shape_of("self")) != 1:
        raise Unsupported("addmm that adds a matrix")
    x, weight = t.tensor(call["mat1"]), t.weight(call["mat2"], transposed=True)
    return t.emit(call, "linear", [x, weight, t.weight(call["self"])])


def matmul(t: Translation, call: Call) -> str:
    """Mm and matmul with a constant second matrix."""
    other = call["mat2"] if "mat2" in call.arguments else call["other"]
    if t.array(other) is None:
        raise Unsupported("product of two computed matrices")
    if len(shape_of(other)) != 2:
        raise Unsupported("product with a constant that is not a matrix")
    return t.emit(call, "linear", [t.tensor(call["self"]), t.weight(other, transposed=True)])


def batch_norm(t: Translation, call: Call) -> str | tuple[str, ...]:
    """Batch normalisation with stored statistics: y = x * scale + shift per channel, folded in double precision."""
    if call.get("training") or call.get("use_input_stats"):
        raise Unsupported("batch norm in training mode: call model.eval() before the export")
    if call["running_mean"] is None:
        raise Unsupported("batch norm without running statistics")
    scale, shift = _affine(t, call)
    x = t.tensor(call["input"])
    inputs = [x, t.constant(f"{x}.scale", scale, np.float64), t.constant(f"{x}.shift", shift, np.float64)]
    y = t.emit(call, "batch_norm", inputs, shape=call.shape_of("input"))
    # The core operator returns statistics too, which nobody reads in inference.
    return y if call.operator == "aten.batch_norm.default" else (y,)


def _affine(t: Translation, call: Call) -> tuple[Any, Any]:
    channels = call.shape_of("input")[1]
    mean = t.statistics(call["running_mean"], channels, 0.0)
    variance = t.statistics(call["running_var"], channels, 1.0)
    weight = t.statistics(call["weight"], channels, 1.0)
    bias = t.statistics(call["bias"], channels, 0.0)
    scale = weight / np.sqrt(variance + float(call["eps"]))
    return scale, bias - mean * scale

"""One NumPy function per op code, in float64 where sums are long."""

from __future__ import annotations

from collections.abc import Callable
from math import erf
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.reference.decoder_operations import attention, embedding, rms_norm, rope, take_last
from edge_sparse.backends.reference.delta_attention import delta_attention
from edge_sparse.backends.reference.memory import Memory
from edge_sparse.format.packing import dense
from edge_sparse.plan import Activation, Layout, Model, Op, Step, Tensor

__all__ = ["OPERATIONS"]

Array = npt.NDArray[Any]


def activate(step: Step, x: Array) -> Array:
    """Apply the step's activation."""
    kind = Activation(int(step.attributes["activation"]))
    functions: dict[Activation, Callable[[Array], Array]] = {
        Activation.NONE: lambda v: v,
        Activation.RELU: lambda v: np.maximum(v, 0),
        Activation.CLAMP: lambda v: np.clip(v, step.attributes["clamp_low"], step.attributes["clamp_high"]),
        Activation.HARDSWISH: lambda v: v * np.clip(v / 6 + 0.5, 0, 1),
        Activation.HARDSIGMOID: lambda v: np.clip(v / 6 + 0.5, 0, 1),
        Activation.SIGMOID: lambda v: 1 / (1 + np.exp(-v)),
        Activation.SILU: lambda v: v / (1 + np.exp(-v)),
        Activation.TANH: np.tanh,
        Activation.GELU: lambda v: v * (0.5 + 0.5 * np.vectorize(erf)(v / np.sqrt(2.0))),
    }
    return functions[kind](x)


def _pair(step: Step, name: str) -> tuple[int, int]:
    return int(step.attributes[name + "_h"]), int(step.attributes[name + "_w"])


def _tap(memory: Memory, x: Tensor, y: Tensor, step: Step, kh: int, kw: int, channel: int, channels: int) -> Array:
    """Return what tap (kh, kw) of every output pixel reads, shape (N, channels, OH, OW)."""
    (stride_h, stride_w), (dilation_h, dilation_w) = _pair(step, "stride"), _pair(step, "dilation")
    dy = kh * dilation_h - int(step.attributes["pad_top"])
    dx = kw * dilation_w - int(step.attributes["pad_left"])
    if step.attributes.get("phase_split"):
        channel += ((dy % stride_h) * stride_w + dx % stride_w) * channels
        dy, dx, stride_h, stride_w = dy // stride_h, dx // stride_w, 1, 1
    n, c, h, w = x.strides
    shape = (y.shape[0], channels, y.shape[2], y.shape[3])
    return memory.window(x, shape, channel * c + dy * h + dx * w, (n, c, h * stride_h, w * stride_w))


def quantised_rows(rows: Array) -> Array:
    """Return rows rounded to 255 steps of their largest magnitude over 127; which step is decided in float32."""
    largest = np.abs(rows).max(axis=1, keepdims=True).astype(np.float32)
    inverse = np.divide(np.float32(127), largest, out=np.zeros_like(largest), where=largest >= 2.0**-100)
    return np.asarray(np.rint(rows.astype(np.float32) * inverse) * (largest.astype(np.float64) / 127))


def spmm(memory: Memory, model: Model, step: Step, x: Tensor, y: Tensor, *others: Tensor | None) -> Array:
    """Group-sparse matrix product, as convolution or linear layer."""
    bias, residual = (*others, None, None)[:2]
    weights = dense(model.matrices[int(step.attributes["matrix"])]).astype(np.float64)
    if x.layout is Layout.ROW_MAJOR:
        rows = memory.view(x).reshape(-1, weights.shape[1]).astype(np.float64)
        result: Array = (quantised_rows(rows) if step.attributes["quantise_x"] else rows) @ weights.T
        shape: tuple[int, ...] = (1, weights.shape[0])
    else:
        kernel_h, kernel_w = _pair(step, "kernel")
        channels = weights.shape[1] // (kernel_h * kernel_w)
        parts = weights.reshape(len(weights), kernel_h, kernel_w, channels)
        result = np.zeros(y.shape)
        for kh, kw in np.ndindex(kernel_h, kernel_w):
            tap = _tap(memory, x, y, step, kh, kw, 0, channels).astype(np.float64)
            result += np.einsum("oc,nchw->nohw", parts[:, kh, kw], tap)
        shape = (1, weights.shape[0], 1, 1)
    if bias is not None:
        result = result + memory.view(bias).reshape(shape)
    if residual is not None:
        result = result + memory.view(residual).reshape(result.shape)
    return activate(step, result)


def dwconv(
    memory: Memory, model: Model, step: Step, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Array:
    """Depthwise convolution."""
    taps = memory.view(weight).astype(np.float64)
    result: Array = np.zeros(y.shape)
    for kh, kw in np.ndindex(taps.shape[1:]):
        tap = _tap(memory, x, y, step, kh, kw, 0, x.shape[1])
        result += tap * taps[None, :, kh, kw, None, None]
    return activate(step, result if bias is None else result + memory.view(bias).reshape(1, -1, 1, 1))


def binary(function: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    """Return ADD or MUL with the broadcasts that the format allows."""

    def run(memory: Memory, model: Model, step: Step, a: Tensor, y: Tensor, b: Tensor) -> Array:
        left, right = memory.view(a), memory.view(b)
        if right.size == 1:
            right = right.reshape(())
        elif right.shape != left.shape:
            right = right.reshape(-1, left.shape[1], *[1] * (left.ndim - 2))
        return activate(step, function(left, right))

    return run


def pool(memory: Memory, model: Model, step: Step, x: Tensor, y: Tensor) -> Array:
    """MAX_POOL and AVG_POOL with clipped windows."""
    source = memory.view(x).astype(np.float64)
    (kernel_h, kernel_w), (stride_h, stride_w) = _pair(step, "kernel"), _pair(step, "stride")
    (dilation_h, dilation_w) = _pair(step, "dilation")
    top, left = int(step.attributes["pad_top"]), int(step.attributes["pad_left"])
    result = np.zeros(y.shape)
    for i, j in np.ndindex(y.shape[2:]):
        rows = i * stride_h - top + dilation_h * np.arange(kernel_h)
        columns = j * stride_w - left + dilation_w * np.arange(kernel_w)
        inside_rows = rows[(rows >= 0) & (rows < x.shape[2])]
        inside_columns = columns[(columns >= 0) & (columns < x.shape[3])]
        window = source[:, :, inside_rows][:, :, :, inside_columns]
        if step.op is Op.MAX_POOL:
            result[:, :, i, j] = window.max(axis=(2, 3))
            continue
        count = inside_rows.size * inside_columns.size
        if step.attributes["count_include_pad"]:
            bottom, right = int(step.attributes["pad_bottom"]), int(step.attributes["pad_right"])
            count = int((rows < x.shape[2] + bottom).sum() * (columns < x.shape[3] + right).sum())
        result[:, :, i, j] = window.sum(axis=(2, 3)) / count
    return result


def adaptive_avg_pool(memory: Memory, model: Model, step: Step, x: Tensor, y: Tensor) -> Array:
    """Average over windows floor(i*n/m) to ceil((i+1)*n/m)."""
    source = memory.view(x).astype(np.float64)
    result = np.zeros(y.shape)
    (height, width), (rows, columns) = x.shape[2:], y.shape[2:]
    for i, j in np.ndindex(rows, columns):
        window = source[:, :, i * height // rows : -(-(i + 1) * height // rows)]
        window = window[..., j * width // columns : -(-(j + 1) * width // columns)]
        result[:, :, i, j] = window.mean(axis=(2, 3))
    return result


def softmax(memory: Memory, model: Model, step: Step, x: Tensor, y: Tensor) -> Array:
    """Softmax over the last axis."""
    source = memory.view(x).astype(np.float64)
    powers = np.exp(source - source.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def phase_split(memory: Memory, model: Model, step: Step, x: Tensor, y: Tensor) -> Array:
    """Planes by residue of row and column."""
    stride_h, stride_w = _pair(step, "stride")
    source, result = memory.view(x), np.zeros(y.shape, np.float32)
    for ry, rx in np.ndindex(stride_h, stride_w):
        part = source[:, :, ry::stride_h, rx::stride_w]
        first = (ry * stride_w + rx) * x.shape[1]
        result[:, first : first + x.shape[1], : part.shape[2], : part.shape[3]] = part
    return result


def pad(memory: Memory, model: Model, step: Step, x: Tensor, y: Tensor) -> Array:
    """Surround with a value."""
    result = np.full(y.shape, step.attributes["value"], np.float32)
    top, left = int(step.attributes["pad_top"]), int(step.attributes["pad_left"])
    result[:, :, top : top + x.shape[2], left : left + x.shape[3]] = memory.view(x)
    return result


def _mean(memory: Memory, model: Model, step: Step, x: Tensor, y: Tensor) -> Array:
    return activate(step, memory.view(x).astype(np.float64).mean(axis=(2, 3)))


OPERATIONS: dict[Op, Callable[..., Array]] = {
    Op.SPMM: spmm,
    Op.DWCONV: dwconv,
    Op.ADD: binary(np.add),
    Op.MUL: binary(np.multiply),
    Op.ACTIVATION: lambda memory, model, step, x, y: activate(step, memory.view(x).astype(np.float64)),
    Op.MAX_POOL: pool,
    Op.AVG_POOL: pool,
    Op.ADAPTIVE_AVG_POOL: adaptive_avg_pool,
    Op.MEAN: _mean,
    Op.SOFTMAX: softmax,
    Op.COPY: lambda memory, model, step, x, y: memory.view(x),
    Op.PHASE_SPLIT: phase_split,
    Op.PAD: pad,
    Op.EMBEDDING: embedding,
    Op.RMS_NORM: rms_norm,
    Op.ROPE: rope,
    Op.ATTENTION: attention,
    Op.TAKE_LAST: take_last,
    Op.DELTA_ATTENTION: delta_attention,
}

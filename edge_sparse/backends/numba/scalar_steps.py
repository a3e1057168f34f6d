"""From the steps without a register tile to launches of the kernels in ``scalar_kernels.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.numba import scalar_kernels as kernels
from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.launch import Launch, address_of, row_stride
from edge_sparse.backends.numba.mean import mean_launch
from edge_sparse.backends.numba.phase_split import phase_split_launch
from edge_sparse.backends.numba.tiles import outside_pixels
from edge_sparse.plan import Layout, Op, Step, Tensor

__all__ = ["LAUNCHERS", "zero_border_launch"]


def zero_border_launch(compiler: KernelCompiler, y: Tensor) -> Launch:
    """Return the launch that rewrites the border of an image to zero."""
    ranges = np.array(outside_pixels(y), np.int64).reshape(-1, 2)
    planes, elements = (y.shape[1], 1) if y.layout is Layout.CHW else (1, y.shape[1])
    numbers = [planes, y.strides[0], y.strides[1], y.strides[3], elements]
    name = compiler.python(kernels.zero_border_f32)
    return Launch(name, [address_of(y), *numbers, ranges, len(ranges)], y.shape[0] * planes)


def copy(compiler: KernelCompiler, step: Step, x: Tensor, y: Tensor) -> Launch:
    """COPY: strided where the axes of both shapes nest, element by element otherwise."""
    # Tokens stay the outermost axis, so that the first units are those of the first tokens.
    outer = int(y.symbol_axis == 0)
    axes = _common_axes(x, y, outer)
    if axes is None or len(axes) > 4 - outer:
        return _copy_indexed(compiler, x, y)
    # Reading order of y: its innermost axis is the kernel's inner loop.
    axes.sort(key=lambda axis: -axis[2])
    axes = [(1, 0, 0)] * (4 - outer - len(axes)) + axes
    if outer:
        axes = [(y.shape[0], x.strides[0], y.strides[0]), *axes]
    lengths, x_strides, y_strides = zip(*axes, strict=True)
    name = compiler.python(kernels.copy_f32)
    numbers = [*lengths[1:], *x_strides, *y_strides]
    return _by_tokens(y, name, [address_of(x), address_of(y), *numbers], lengths[0] * lengths[1])


def _by_tokens(y: Tensor, kernel: str, arguments: list[Any], units: int) -> Launch:
    """Return a launch of ``units`` in a run of the most tokens, and of fewer in shorter runs."""
    if y.symbol_axis == 0:
        return Launch(kernel, arguments, units // y.shape[0], unit_tokens=1)
    return Launch(kernel, arguments, units)


def _common_axes(x: Tensor, y: Tensor, first: int) -> list[tuple[int, int, int]] | None:
    """Split the axes of both shapes, from the ``first``, into common ones: (length, stride in x, stride in y).

    None if they do not nest.
    """
    left = [(n, s) for n, s in zip(x.shape[first:], x.strides[first:], strict=True) if n != 1]
    right = [(n, s) for n, s in zip(y.shape[first:], y.strides[first:], strict=True) if n != 1]
    axes = []
    while left and right:
        (n, s), (m, t) = left.pop(), right.pop()
        length = min(n, m)
        if n % length or m % length:
            return None
        axes.append((length, s, t))
        if n > length:
            left.append((n // length, s * length))
        if m > length:
            right.append((m // length, t * length))
    return axes


def _offsets(tensor: Tensor) -> npt.NDArray[np.int64]:
    index = np.indices(tensor.shape).reshape(len(tensor.shape), -1)
    return np.ascontiguousarray(np.tensordot(np.array(tensor.strides, np.int64), index, 1), np.int64)


def _copy_indexed(compiler: KernelCompiler, x: Tensor, y: Tensor) -> Launch:
    arguments = [address_of(x), address_of(y), _offsets(x), _offsets(y)]
    return _by_tokens(y, compiler.python(kernels.copy_indexed_f32), arguments, y.size)


def phase_split(compiler: KernelCompiler, step: Step, x: Tensor, y: Tensor) -> Launch:
    """PHASE_SPLIT."""
    vectors = phase_split_launch(compiler, step, x, y)
    if vectors is not None:
        return vectors
    numbers = [*x.shape[1:], _word(step, "stride_h"), _word(step, "stride_w"), *y.shape[2:], *x.strides, *y.strides]
    name = compiler.python(kernels.phase_split_f32)
    return Launch(name, [address_of(x), address_of(y), *numbers], y.shape[0] * y.shape[1])


def pool(compiler: KernelCompiler, step: Step, x: Tensor, y: Tensor) -> Launch:
    """MAX_POOL and AVG_POOL."""
    names = ["kernel_h", "kernel_w", "stride_h", "stride_w", "dilation_h", "dilation_w", "pad_top", "pad_left"]
    numbers = [*x.shape[1:], *y.shape[2:], *(_word(step, name) for name in names)]
    average = step.op is Op.AVG_POOL
    numbers += [_word(step, name) if average else 0 for name in ("pad_bottom", "pad_right")]
    numbers += [int(average), _word(step, "count_include_pad") if average else 0]
    numbers += [*x.strides[:3], *y.strides[:3], x.strides[3], y.strides[3]]
    if y.layout is Layout.CHW:
        name, units = compiler.python(kernels.pool_f32_chw), y.shape[0] * y.shape[1]
    else:
        name, units = compiler.python(kernels.pool_f32_nhwc), y.shape[0] * y.shape[2]
    return Launch(name, [address_of(x), address_of(y), *numbers], units)


def adaptive_avg_pool(compiler: KernelCompiler, step: Step, x: Tensor, y: Tensor) -> Launch:
    """ADAPTIVE_AVG_POOL."""
    numbers = [*x.shape[1:], *y.shape[2:], *x.strides, *y.strides]
    name = compiler.python(kernels.adaptive_avg_pool_f32)
    return Launch(name, [address_of(x), address_of(y), *numbers], y.shape[0] * y.shape[1])


def mean(compiler: KernelCompiler, step: Step, x: Tensor, y: Tensor) -> Launch:
    """MEAN without its activation."""
    return mean_launch(compiler, x, y)


def softmax(compiler: KernelCompiler, step: Step, x: Tensor, y: Tensor) -> Launch:
    """SOFTMAX over the last axis."""
    length = x.shape[-1]
    name = compiler.python(kernels.softmax_f32)
    arguments = [address_of(x), address_of(y), length, row_stride(x), row_stride(y)]
    return _by_tokens(y, name, arguments, x.size // length)


def pad(compiler: KernelCompiler, step: Step, x: Tensor, y: Tensor) -> Launch:
    """PAD."""
    value = np.array([step.attributes["value"]], np.float32)
    numbers = [*x.shape[1:], *y.shape[2:], _word(step, "pad_top"), _word(step, "pad_left"), *x.strides, *y.strides]
    name = compiler.python(kernels.pad_f32)
    return Launch(name, [address_of(x), address_of(y), value, *numbers], y.shape[0] * y.shape[1])


def _word(step: Step, name: str) -> int:
    return int(step.attributes[name])


LAUNCHERS = {
    Op.MAX_POOL: pool,
    Op.AVG_POOL: pool,
    Op.ADAPTIVE_AVG_POOL: adaptive_avg_pool,
    Op.MEAN: mean,
    Op.SOFTMAX: softmax,
    Op.COPY: copy,
    Op.PHASE_SPLIT: phase_split,
    Op.PAD: pad,
}

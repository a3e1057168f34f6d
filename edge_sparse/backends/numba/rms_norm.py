"""``rms_norm_f32``: rows divided by their root mean square, elements in the vector lanes."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.launch import Launch, address_of, row_stride
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.plan import Tensor

__all__ = ["RmsNormKernel", "rms_norm_launch"]

#: Partial sums that hide the latency of multiply-add.
SUMS = 4


class RmsNormArgument(enum.IntEnum):
    """Positions in the argument table; strides are the distance of rows, in elements. ``NUMBERS`` holds epsilon."""

    X = 0
    Y = 1
    WEIGHT = 2
    NUMBERS = 3
    WIDTH = 4
    X_STRIDE = 5
    Y_STRIDE = 6
    ROWS = 7


@dataclass(frozen=True)
class RmsNormKernel:
    """Emitter of the kernel; a work unit is a token: ``ROWS`` consecutive rows (1, or the heads of the token)."""

    lanes: int

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return f"rms_norm_f32_l{self.lanes}"

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel."""
        rows = k.arg(RmsNormArgument.ROWS)
        with k.loop(k.b.mul(k.begin, rows), k.b.mul(k.end, rows)) as row:
            x = k.at(k.pointer(RmsNormArgument.X), k.b.mul(row, k.arg(RmsNormArgument.X_STRIDE)))
            y = k.at(k.pointer(RmsNormArgument.Y), k.b.mul(row, k.arg(RmsNormArgument.Y_STRIDE)))
            self._row(k, x, y)

    def _row(self, k: KernelBuilder, x: Any, y: Any) -> None:
        b, lanes = k.b, self.lanes
        width = k.arg(RmsNormArgument.WIDTH)
        blocks = b.sub(width, b.srem(width, k.integer(SUMS * lanes)))
        whole = b.sub(width, b.srem(width, k.integer(lanes)))
        with k.reduce(0, blocks, [k.splat(0.0, lanes)] * SUMS, SUMS * lanes) as (first, sums, following):
            for part in range(SUMS):
                value = k.load(k.at(x, first, part * lanes), lanes)
                following[part] = k.multiply_add(value, value, sums[part])
        total = b.fadd(b.fadd(sums[0], sums[1]), b.fadd(sums[2], sums[3]))
        with k.reduce(blocks, whole, [total], lanes) as (first, sums, following):
            value = k.load(k.at(x, first), lanes)
            following[0] = k.multiply_add(value, value, sums[0])
        single = k.lane_sum(sums[0], lanes)
        with k.reduce(whole, width, [single]) as (first, sums, following):
            value = k.load(k.at(x, first))
            following[0] = k.multiply_add(value, value, sums[0])
        scale = self._scale(k, sums[0], width)
        weight = k.pointer(RmsNormArgument.WEIGHT)
        for start, stop, step in ((k.integer(0), whole, lanes), (whole, width, 1)):
            with k.loop(start, stop, step) as first:
                value = b.fmul(k.load(k.at(x, first), step), k.splat(scale, step))
                k.store(b.fmul(value, k.load(k.at(weight, first), step)), k.at(y, first), step)

    def _scale(self, k: KernelBuilder, squares: Any, width: Any) -> Any:
        """Return 1 / sqrt(mean + epsilon)."""
        mean = k.b.fdiv(squares, k.b.sitofp(width, k.f32))
        root = k.intrinsic("llvm.sqrt.f32", k.f32, k.b.fadd(mean, k.load(k.pointer(RmsNormArgument.NUMBERS))))
        return k.b.fdiv(k.splat(1.0, 1), root)


def rms_norm_launch(compiler: KernelCompiler, x: Tensor, y: Tensor, weight: Tensor, epsilon: float) -> Launch:
    """Return the launch of RMS_NORM over the last axis of x, whatever its rank."""
    kernel = RmsNormKernel(compiler.target.lanes)
    width = x.shape[-1]
    rows = x.size // width
    symbolic = x.symbol_axis == 0
    per_unit = math.prod(x.shape[1:-1]) if symbolic else 1
    numbers = np.array([epsilon], np.float32)
    arguments = [address_of(x), address_of(y), address_of(weight), numbers, width, row_stride(x), row_stride(y)]
    name = compiler.emit(kernel.name, kernel.emit)
    if symbolic:
        return Launch(name, [*arguments, per_unit], 1, unit_tokens=1)
    return Launch(name, [*arguments, 1], rows)

"""``dwconv_f32_chw``: depthwise convolution, pixels of a row in the vector lanes, several rows in registers."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.spmm_kernel import Epilogue
from edge_sparse.backends.numba.target import Target

__all__ = ["DepthwiseArgument", "DwconvChw", "choose_depthwise_tile"]


class DepthwiseArgument(enum.IntEnum):
    """Positions in the kernel's argument table. ``X`` is the address that tap (0, 0) of pixel (0, 0) reads.

    ``CHANNELS`` and the plane strides serve CHW only.
    """

    X = 0
    Y = 1
    WEIGHTS = 2
    BIAS = 3
    CHANNELS = 4
    X_IMAGE_STRIDE = 5
    X_PLANE_STRIDE = 6
    X_ROW_STRIDE = 7
    Y_IMAGE_STRIDE = 8
    Y_PLANE_STRIDE = 9
    Y_ROW_STRIDE = 10


def choose_depthwise_tile(target: Target, height: int, width: int, row_stride: int, plane: int) -> tuple[int, int]:
    """Return (rows, lanes) of the register tile for an output plane.

    A vector wider than the image overruns its row; that is allowed when the next row, stored later, mends it and the
    last row's overrun stays inside the ``plane`` elements that the plane owns.
    """
    lanes = target.lanes
    while lanes > 1 and lanes > width and (lanes >= 2 * width or (height - 1) * row_stride + lanes > plane):
        lanes //= 2
    return min(4, height), lanes


@dataclass(frozen=True)
class DwconvChw:
    """Emitter of one kernel for one output height and width; work units are planes."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    height: int
    width: int
    rows: int
    lanes: int
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """Name of the kernel; it tells everything that the code depends on."""
        pairs = [f"{a}x{b}" for a, b in (self.kernel, self.stride, self.dilation, (self.height, self.width))]
        tile = f"r{self.rows}l{self.lanes}"
        return f"dwconv_f32_chw_k{pairs[0]}_s{pairs[1]}_d{pairs[2]}_o{pairs[3]}_{tile}_{self.epilogue.name}"

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel: loops over planes, blocks of rows and vectors of pixels."""
        b = k.b
        taps = self.kernel[0] * self.kernel[1]
        with k.loop(k.begin, k.end) as plane:
            channels = k.arg(DepthwiseArgument.CHANNELS)
            image, channel = b.sdiv(plane, channels), b.srem(plane, channels)

            def place(address: DepthwiseArgument, per_image: int, per_plane: int) -> Any:
                offset = b.add(b.mul(image, k.arg(per_image)), b.mul(channel, k.arg(per_plane)))
                return k.at(k.pointer(address), offset)

            x = place(DepthwiseArgument.X, DepthwiseArgument.X_IMAGE_STRIDE, DepthwiseArgument.X_PLANE_STRIDE)
            y = place(DepthwiseArgument.Y, DepthwiseArgument.Y_IMAGE_STRIDE, DepthwiseArgument.Y_PLANE_STRIDE)
            weights = k.at(k.pointer(DepthwiseArgument.WEIGHTS), b.mul(channel, k.integer(taps)))
            weight = [k.splat(k.load(k.at(weights, tap)), self.lanes) for tap in range(taps)]
            initial = k.splat(0.0, self.lanes)
            if self.epilogue.bias:
                initial = k.splat(k.load(k.at(k.pointer(DepthwiseArgument.BIAS), channel)), self.lanes)
            # The last block of rows and the last vector of a row start early instead of being short.
            with k.loop(0, k.integer(self.height), self.rows) as first:
                row = k.minimum(first, k.integer(self.height - self.rows))
                with k.loop(0, k.integer(self.width), self.lanes) as left:
                    column = k.minimum(left, k.integer(max(0, self.width - self.lanes)))
                    self._tile(k, x, y, row, column, weight, initial)

    def _tile(self, k: KernelBuilder, x: Any, y: Any, row: Any, column: Any, weight: list[Any], initial: Any) -> None:
        b, (kernel_h, kernel_w) = k.b, self.kernel
        x_stride, y_stride = k.arg(DepthwiseArgument.X_ROW_STRIDE), k.arg(DepthwiseArgument.Y_ROW_STRIDE)
        top = b.mul(row, k.integer(self.stride[0]))
        left = b.mul(column, k.integer(self.stride[1]))
        sums = [initial] * self.rows
        reached = (self.rows - 1) * self.stride[0] + (kernel_h - 1) * self.dilation[0] + 1
        for input_row in range(reached):
            uses = [
                (r, (input_row - r * self.stride[0]) // self.dilation[0])
                for r in range(self.rows)
                if 0 <= input_row - r * self.stride[0] <= (kernel_h - 1) * self.dilation[0]
                and (input_row - r * self.stride[0]) % self.dilation[0] == 0
            ]
            line = k.at(x, b.mul(b.add(top, k.integer(input_row)), x_stride), left)
            for kx in range(kernel_w) if uses else ():
                pixels = k.strided(k.at(line, kx * self.dilation[1]), self.lanes, self.stride[1])
                for r, ky in uses:
                    sums[r] = k.multiply_add(pixels, weight[ky * kernel_w + kx], sums[r])
        for r, value in enumerate(sums):
            value = self.epilogue.apply(k, value, self.lanes)
            k.store(value, k.at(y, b.mul(b.add(row, k.integer(r)), y_stride), column), self.lanes)

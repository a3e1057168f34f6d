"""``dwconv_f32_nhwc``: depthwise convolution, channels in the vector lanes, several pixels of a row in registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.dwconv_chw import DepthwiseArgument
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.spmm_kernel import Epilogue

__all__ = ["DwconvNhwc"]


@dataclass(frozen=True)
class DwconvNhwc:
    """Emitter of one kernel; work units are rows of the output images.

    ``x_pixel`` and ``y_pixel`` are the distances of neighbouring pixels in elements; ``pixels`` those of a tile.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    channels: int
    width: int
    x_pixel: int
    y_pixel: int
    pixels: int
    lanes: int
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """Name of the kernel; it tells everything that the code depends on."""
        pairs = [f"{a}x{b}" for a, b in (self.kernel, self.stride, self.dilation, (self.channels, self.width))]
        tile = f"p{self.pixels}l{self.lanes}_x{self.x_pixel}_y{self.y_pixel}"
        return f"dwconv_f32_nhwc_k{pairs[0]}_s{pairs[1]}_d{pairs[2]}_c{pairs[3]}_{tile}_{self.epilogue.name}"

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel: loops over rows, tiles of pixels and vectors of channels."""
        b = k.b
        with k.loop(k.begin, k.end) as unit:
            rows = k.arg(DepthwiseArgument.ROWS)
            image, row = b.sdiv(unit, rows), b.srem(unit, rows)
            x = k.at(
                k.pointer(DepthwiseArgument.X),
                b.mul(image, k.arg(DepthwiseArgument.X_IMAGE_STRIDE)),
                b.mul(b.mul(row, k.integer(self.stride[0])), k.arg(DepthwiseArgument.X_ROW_STRIDE)),
            )
            y = k.at(
                k.pointer(DepthwiseArgument.Y),
                b.mul(image, k.arg(DepthwiseArgument.Y_IMAGE_STRIDE)),
                b.mul(row, k.arg(DepthwiseArgument.Y_ROW_STRIDE)),
            )
            # The last tile of a row and the last vector of channels start early instead of being short.
            with k.loop(0, k.integer(self.width), self.pixels) as left:
                column = k.minimum(left, k.integer(self.width - self.pixels))
                tile_x = k.at(x, b.mul(column, k.integer(self.stride[1] * self.x_pixel)))
                tile_y = k.at(y, b.mul(column, k.integer(self.y_pixel)))
                with k.loop(0, k.integer(self.channels), self.lanes) as block:
                    channel = k.minimum(block, k.integer(self.channels - self.lanes))
                    self._tile(k, k.at(tile_x, channel), k.at(tile_y, channel), channel)

    def _tile(self, k: KernelBuilder, x: Any, y: Any, channel: Any) -> None:
        b, (kernel_h, kernel_w) = k.b, self.kernel
        weights = k.at(k.pointer(DepthwiseArgument.WEIGHTS), channel)
        initial = k.splat(0.0, self.lanes)
        if self.epilogue.bias:
            initial = k.load(k.at(k.pointer(DepthwiseArgument.BIAS), channel), self.lanes)
        sums = [initial] * self.pixels
        for ky in range(kernel_h):
            line = k.at(x, b.mul(k.arg(DepthwiseArgument.X_ROW_STRIDE), k.integer(ky * self.dilation[0])))
            loaded: dict[int, Any] = {}
            for kx in range(kernel_w):
                tap = (ky * kernel_w + kx) * self.channels
                weight = k.load(k.at(weights, tap), self.lanes)
                for p in range(self.pixels):
                    place = p * self.stride[1] + kx * self.dilation[1]
                    if place not in loaded:
                        loaded[place] = k.load(k.at(line, place * self.x_pixel), self.lanes)
                    sums[p] = k.multiply_add(loaded[place], weight, sums[p])
        for p, value in enumerate(sums):
            k.store(self.epilogue.apply(k, value, self.lanes), k.at(y, p * self.y_pixel), self.lanes)

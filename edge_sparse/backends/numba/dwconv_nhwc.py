"""``dwconv_f32_nhwc``: depthwise convolution, channels in the lanes, several pixels of several rows in registers.

One vector of channels passes over all pixels before the next: its pixels are one cache line each, so a line comes from
the second-level cache once and its neighbours' windows find it in the first (measured on Zen 4, 14x14x512: 50 us with
channels innermost, 20 us so).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.dwconv_chw import DepthwiseArgument
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.spmm_kernel import Epilogue
from edge_sparse.backends.numba.target import Target

__all__ = ["DwconvNhwc", "choose_nhwc_tile"]


def choose_nhwc_tile(target: Target, taps: int, height: int, width: int) -> tuple[int, int]:
    """Return (rows, pixels) of the register tile; all weights stay in registers beside it where there are 32."""
    if target.registers < 32 or taps > 9:
        return 1, min(4, width)
    # Mobile networks' images are multiples of seven pixels wide.
    return min(2, height), min(7 if width % 7 == 0 else 6, width)


@dataclass(frozen=True)
class DwconvNhwc:
    """Emitter of one kernel; work units are (image, vector of channels, segment of rows).

    ``x_pixel`` and ``y_pixel`` are the distances of neighbouring pixels in elements; ``rows`` x ``pixels`` is a tile,
    ``segment`` the rows of a work unit.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    channels: int
    height: int
    width: int
    x_pixel: int
    y_pixel: int
    rows: int
    pixels: int
    segment: int
    lanes: int
    epilogue: Epilogue

    @property
    def name(self) -> str:
        """Name of the kernel; it tells everything that the code depends on."""
        pairs = [f"{a}x{b}" for a, b in (self.kernel, self.stride, self.dilation, (self.height, self.width))]
        tile = f"r{self.rows}p{self.pixels}s{self.segment}l{self.lanes}_x{self.x_pixel}_y{self.y_pixel}"
        window = f"k{pairs[0]}_s{pairs[1]}_d{pairs[2]}_c{self.channels}_o{pairs[3]}"
        return f"dwconv_f32_nhwc_{window}_{tile}_{self.epilogue.name}"

    @property
    def units(self) -> int:
        """Work units of one image."""
        return -(-self.channels // self.lanes) * -(-self.height // self.segment)

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel: loops over work units, rows and tiles of pixels."""
        b = k.b
        segments = -(-self.height // self.segment)
        with k.loop(k.begin, k.end) as unit:
            image, rest = b.sdiv(unit, k.integer(self.units)), b.srem(unit, k.integer(self.units))
            block, segment = b.sdiv(rest, k.integer(segments)), b.srem(rest, k.integer(segments))
            # The last vector of channels and the last tile of a row start early instead of being short.
            channel = k.minimum(b.mul(block, k.integer(self.lanes)), k.integer(self.channels - self.lanes))
            x = k.at(k.pointer(DepthwiseArgument.X), b.mul(image, k.arg(DepthwiseArgument.X_IMAGE_STRIDE)), channel)
            y = k.at(k.pointer(DepthwiseArgument.Y), b.mul(image, k.arg(DepthwiseArgument.Y_IMAGE_STRIDE)), channel)
            weights = k.at(k.pointer(DepthwiseArgument.WEIGHTS), channel)
            taps = range(self.kernel[0] * self.kernel[1])
            kept = self.rows * self.pixels + len(taps) + 4 <= k.target.registers
            weight = [k.load(k.at(weights, tap * self.channels), self.lanes) for tap in taps] if kept else None
            initial = k.splat(0.0, self.lanes)
            if self.epilogue.bias:
                initial = k.load(k.at(k.pointer(DepthwiseArgument.BIAS), channel), self.lanes)
            first = b.mul(segment, k.integer(self.segment))
            last = k.minimum(b.add(first, k.integer(self.segment)), k.integer(self.height))
            with k.loop(first, last, self.rows) as at:
                row = k.maximum(k.minimum(at, b.sub(last, k.integer(self.rows))), k.integer(0))
                line_x = k.at(x, b.mul(b.mul(row, k.integer(self.stride[0])), k.arg(DepthwiseArgument.X_ROW_STRIDE)))
                line_y = k.at(y, b.mul(row, k.arg(DepthwiseArgument.Y_ROW_STRIDE)))
                with k.loop(0, k.integer(self.width), self.pixels) as left:
                    column = k.minimum(left, k.integer(self.width - self.pixels))
                    tile_x = k.at(line_x, b.mul(column, k.integer(self.stride[1] * self.x_pixel)))
                    tile_y = k.at(line_y, b.mul(column, k.integer(self.y_pixel)))
                    self._tile(k, tile_x, tile_y, weights, weight, initial)

    def _tile(self, k: KernelBuilder, x: Any, y: Any, weights: Any, weight: list[Any] | None, initial: Any) -> None:
        b, (kernel_h, kernel_w) = k.b, self.kernel
        sums = [[initial] * self.pixels for _ in range(self.rows)]
        for input_row in range((self.rows - 1) * self.stride[0] + (kernel_h - 1) * self.dilation[0] + 1):
            uses = [
                (r, tap // self.dilation[0])
                for r in range(self.rows)
                for tap in [input_row - r * self.stride[0]]
                if 0 <= tap <= (kernel_h - 1) * self.dilation[0] and tap % self.dilation[0] == 0
            ]
            line = k.at(x, b.mul(k.arg(DepthwiseArgument.X_ROW_STRIDE), k.integer(input_row)))
            loaded: dict[int, Any] = {}
            for r, ky in uses:
                for kx in range(kernel_w):
                    tap = ky * kernel_w + kx
                    factor = weight[tap] if weight else k.load(k.at(weights, tap * self.channels), self.lanes)
                    for p in range(self.pixels):
                        place = p * self.stride[1] + kx * self.dilation[1]
                        if place not in loaded:
                            loaded[place] = k.load(k.at(line, place * self.x_pixel), self.lanes)
                        sums[r][p] = k.multiply_add(loaded[place], factor, sums[r][p])
        for r, values in enumerate(sums):
            line = k.at(y, b.mul(k.arg(DepthwiseArgument.Y_ROW_STRIDE), k.integer(r)))
            for p, value in enumerate(values):
                k.store(self.epilogue.apply(k, value, self.lanes), k.at(line, p * self.y_pixel), self.lanes)

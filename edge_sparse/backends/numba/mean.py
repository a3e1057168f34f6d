"""``mean_f32_chw`` and ``mean_f32_nhwc``: the mean over all pixels of an image, in vectors.

CHW sums vectors of pixels of a row, the last one masked, and adds the lanes at the end; NHWC sums pixels with channels
in the lanes. A scalar loop waits for every addition: 25 us instead of 4 for 1024 channels of 7x7 pixels on Zen 4.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.launch import Launch, address_of
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.errors import BackendError
from edge_sparse.plan import Layout, Storage, Tensor

__all__ = ["MeanChw", "MeanNhwc", "mean_launch"]


class MeanArgument(enum.IntEnum):
    """Positions in the argument table; strides are in elements. ``X_STEP`` is the distance of planes or of pixels."""

    X = 0
    Y = 1
    X_IMAGE_STRIDE = 2
    X_STEP = 3
    X_ROW_STRIDE = 4
    Y_IMAGE_STRIDE = 5


@dataclass(frozen=True)
class MeanChw:
    """Emitter of one kernel; work units are planes. ``overrun``: a vector may be read past a plane's last pixel."""

    channels: int
    height: int
    width: int
    overrun: bool

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return f"mean_f32_chw_c{self.channels}_{self.height}x{self.width}" + ("_overrun" if self.overrun else "")

    @property
    def units(self) -> int:
        """Work units of one image."""
        return self.channels

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel."""
        b, lanes = k.b, k.target.lanes
        zero = k.splat(0.0, lanes)
        with k.loop(k.begin, k.end) as unit:
            image, channel = b.sdiv(unit, k.integer(self.channels)), b.srem(unit, k.integer(self.channels))
            x = k.at(
                k.pointer(MeanArgument.X),
                b.mul(image, k.arg(MeanArgument.X_IMAGE_STRIDE)),
                b.mul(channel, k.arg(MeanArgument.X_STEP)),
            )
            with k.reduce(0, k.integer(self.height), [zero, k.splat(0.0, 1)]) as (row, sums, following):
                line = k.at(x, b.mul(row, k.arg(MeanArgument.X_ROW_STRIDE)))
                following[:] = self._row(k, line, *sums)
            total = b.fadd(k.lane_sum(sums[0], lanes), sums[1])
            total = b.fmul(total, k.splat(1.0 / (self.height * self.width), 1))
            y = k.at(
                k.pointer(MeanArgument.Y),
                b.mul(image, k.arg(MeanArgument.Y_IMAGE_STRIDE)),
                channel,
            )
            k.store(total, y)

    def _row(self, k: KernelBuilder, line: Any, vector: Any, single: Any) -> tuple[Any, Any]:
        """Add a row's pixels: whole vectors, then one whose lanes beyond the row count as zero, or single pixels."""
        lanes, rest = k.target.lanes, self.width % k.target.lanes
        with k.reduce(0, k.integer(self.width - rest), [vector], lanes) as (at, sums, following):
            following[0] = k.b.fadd(sums[0], k.load(k.at(line, at), lanes))
        vector = sums[0]
        if rest and self.overrun:
            pixels = k.load(k.at(line, self.width - rest), lanes)
            mask = k.ir.Constant(k.ir.VectorType(k.i1, lanes), [lane < rest for lane in range(lanes)])
            vector = k.b.fadd(vector, k.b.select(mask, pixels, k.splat(0.0, lanes)))
        elif rest:
            with k.reduce(self.width - rest, k.integer(self.width), [single]) as (at, sums, following):
                following[0] = k.b.fadd(sums[0], k.load(k.at(line, at)))
            single = sums[0]
        return vector, single


@dataclass(frozen=True)
class MeanNhwc:
    """Emitter of one kernel; work units are (image, vector of channels)."""

    channels: int
    height: int
    width: int
    lanes: int

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return f"mean_f32_nhwc_c{self.channels}_{self.height}x{self.width}_l{self.lanes}"

    @property
    def units(self) -> int:
        """Work units of one image."""
        return -(-self.channels // self.lanes)

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel; the last vector of channels starts early instead of being short."""
        b, lanes = k.b, self.lanes
        with k.loop(k.begin, k.end) as unit:
            image, block = b.sdiv(unit, k.integer(self.units)), b.srem(unit, k.integer(self.units))
            channel = k.minimum(b.mul(block, k.integer(lanes)), k.integer(self.channels - lanes))
            x = k.at(k.pointer(MeanArgument.X), b.mul(image, k.arg(MeanArgument.X_IMAGE_STRIDE)), channel)
            with k.reduce(0, k.integer(self.height), [k.splat(0.0, lanes)]) as (row, sums, following):
                line = k.at(x, b.mul(row, k.arg(MeanArgument.X_ROW_STRIDE)))
                with k.reduce(0, k.integer(self.width), [sums[0]]) as (pixel, partial, after):
                    after[0] = b.fadd(partial[0], k.load(k.at(line, b.mul(pixel, k.arg(MeanArgument.X_STEP))), lanes))
                following[0] = partial[0]
            mean = b.fmul(sums[0], k.splat(1.0 / (self.height * self.width), lanes))
            y = k.at(k.pointer(MeanArgument.Y), b.mul(image, k.arg(MeanArgument.Y_IMAGE_STRIDE)), channel)
            k.store(mean, y, lanes)


def mean_launch(compiler: KernelCompiler, x: Tensor, y: Tensor) -> Launch:
    """Return the launch of MEAN without its activation; y holds its channels one behind the other."""
    batch, channels, height, width = x.shape
    if y.strides[1] != 1:
        raise BackendError("PLAN_UNSUPPORTED", f"the channels of {y.name} are not neighbours", "convert it again")
    kernel: MeanChw | MeanNhwc
    if x.layout is Layout.NHWC:
        lanes = min(compiler.target.lanes, 1 << (channels.bit_length() - 1))
        kernel, step = MeanNhwc(channels, height, width, lanes), x.strides[3]
    else:
        # The arena has a margin behind its last tensor, a caller's array has none.
        kernel, step = MeanChw(channels, height, width, x.storage is Storage.ARENA), x.strides[1]
    arguments = [address_of(x), address_of(y), x.strides[0], step, x.strides[2], y.strides[0]]
    return Launch(compiler.emit(kernel.name, kernel.emit), arguments, batch * kernel.units)

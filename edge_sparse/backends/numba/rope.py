"""``rope_f32``: rotary position embedding.

The angles of a token are (position + token) * inverse frequency in double precision: at position 100 000 a float32
angle would be off by 0.004 radians. Their sines and cosines are computed once per token and serve all of its heads.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.launch import Launch, address_of, row_stride
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.plan import Step, Tensor

__all__ = ["RopeKernel", "rope_launch"]

#: pi / 2 in three parts; the first two have 33 bits, so that a quadrant number of 20 bits times them is exact.
_HALF_PI = (1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21)
#: Adding and subtracting 1.5 * 2^52 rounds a double to the nearest integer, which is then in the low bits.
_ROUND = 6755399441055744.0
# Taylor series on |r| <= pi/4, highest power of r^2 first; the relative errors are below 1e-12.
_SINE = tuple((-1.0) ** i / math.factorial(2 * i + 1) for i in range(7, 0, -1))
_COSINE = tuple((-1.0) ** i / math.factorial(2 * i) for i in range(7, 0, -1))


class RopeArgument(enum.IntEnum):
    """Positions in the argument table; strides are the distance of tokens, in elements."""

    X = 0
    Y = 1
    POSITION = 2
    FREQUENCIES = 3
    HEADS = 4
    X_STRIDE = 5
    Y_STRIDE = 6


@dataclass(frozen=True)
class RopeKernel:
    """Emitter of the kernel; work units are tokens."""

    head_dim: int
    interleaved: bool
    lanes: int

    @property
    def name(self) -> str:
        """Name of the kernel."""
        pairs = "interleaved" if self.interleaved else "halves"
        return f"rope_f32_{pairs}_d{self.head_dim}_l{self.lanes}"

    @property
    def step(self) -> int:
        """Pairs that are rotated at once: a power of two that divides the pairs of a head."""
        half = self.head_dim // 2
        return min(self.lanes, half & -half)

    def emit(self, k: KernelBuilder) -> None:
        """Write the kernel."""
        b, half = k.b, self.head_dim // 2
        cosines, sines = (k.scratch(k.f32, half) for _ in range(2))
        position = k.load_int(k.pointer(RopeArgument.POSITION, k.i32), 0)
        with k.loop(k.begin, k.end) as token:
            place = b.sitofp(b.add(position, token), k.ir.DoubleType())
            with k.loop(0, half, self.step) as first:
                self._angles(k, place, first, cosines, sines)
            x = k.at(k.pointer(RopeArgument.X), b.mul(token, k.arg(RopeArgument.X_STRIDE)))
            y = k.at(k.pointer(RopeArgument.Y), b.mul(token, k.arg(RopeArgument.Y_STRIDE)))
            with k.loop(0, k.arg(RopeArgument.HEADS)) as head:
                offset = b.mul(head, k.integer(self.head_dim))
                with k.loop(0, half, self.step) as first:
                    cosine, sine = (k.load(k.at(table, first), self.step) for table in (cosines, sines))
                    self._rotate(k, k.at(x, offset), k.at(y, offset), first, cosine, sine)

    def _angles(self, k: KernelBuilder, place: Any, first: Any, cosines: Any, sines: Any) -> None:
        """Write the cosines and sines of ``step`` angles."""
        b, lanes = k.b, self.step
        double = k.ir.DoubleType()
        wide = k.ir.VectorType(double, lanes) if lanes > 1 else double

        def number(value: float) -> Any:
            one = k.ir.Constant(double, value)
            return k.ir.Constant(wide, [one] * lanes) if lanes > 1 else one

        def whole(value: int) -> Any:
            return k.ir.Constant(k.ir.VectorType(k.i64, lanes), [value] * lanes) if lanes > 1 else k.i64(value)

        def series(coefficients: tuple[float, ...], square: Any) -> Any:
            value = number(coefficients[0])
            for coefficient in coefficients[1:]:
                value = b.fadd(b.fmul(value, square), number(coefficient))
            return value

        frequency = b.fpext(k.load(k.at(k.pointer(RopeArgument.FREQUENCIES), first), lanes), wide)
        angle = b.fmul(frequency, k.splat(place, lanes))
        shifted = b.fadd(b.fmul(angle, number(2 / math.pi)), number(_ROUND))
        quadrants = b.fsub(shifted, number(_ROUND))
        r = angle
        for part in _HALF_PI:
            r = b.fsub(r, b.fmul(quadrants, number(part)))
        square = b.fmul(r, r)
        sine = b.fadd(b.fmul(b.fmul(series(_SINE, square), square), r), r)
        cosine = b.fadd(b.fmul(series(_COSINE, square), square), number(1.0))
        bits = b.bitcast(shifted, whole(0).type)
        # Odd quadrants swap sine and cosine; two bits of the quadrant's number give the signs.
        odd = b.icmp_signed("!=", b.and_(bits, whole(1)), whole(0))
        sine, cosine = b.select(odd, cosine, sine), b.select(odd, sine, cosine)
        for value, quadrant, table in ((sine, bits, sines), (cosine, b.add(bits, whole(1)), cosines)):
            sign = b.shl(b.and_(quadrant, whole(2)), whole(62))
            value = b.bitcast(b.xor(b.bitcast(value, sign.type), sign), wide)
            k.store(b.fptrunc(value, k.vector_type(lanes)), k.at(table, first), lanes)

    def _rotate(self, k: KernelBuilder, x: Any, y: Any, first: Any, cosine: Any, sine: Any) -> None:
        b, lanes, half = k.b, self.step, self.head_dim // 2
        if self.interleaved:
            at = b.mul(first, k.integer(2))
            pairs = k.load(k.at(x, at), 2 * lanes)
            a, c = (self._picked(k, pairs, pairs, [2 * i + odd for i in range(lanes)]) for odd in (0, 1))
        else:
            a, c = k.load(k.at(x, first), lanes), k.load(k.at(x, first, half), lanes)
        left = b.fsub(b.fmul(a, cosine), b.fmul(c, sine))
        right = b.fadd(b.fmul(a, sine), b.fmul(c, cosine))
        if not self.interleaved:
            k.store(left, k.at(y, first), lanes)
            k.store(right, k.at(y, first, half), lanes)
        elif lanes == 1:
            k.store(left, k.at(y, at))
            k.store(right, k.at(y, at, 1))
        else:
            order = [i // 2 + (lanes if i % 2 else 0) for i in range(2 * lanes)]
            k.store(self._picked(k, left, right, order), k.at(y, at), 2 * lanes)

    def _picked(self, k: KernelBuilder, low: Any, high: Any, lanes: list[int]) -> Any:
        if len(lanes) == 1:
            return k.b.extract_element(low, k.i32(lanes[0]))
        return k.b.shuffle_vector(low, high, k.ir.Constant(k.ir.VectorType(k.i32, len(lanes)), lanes))


def rope_launch(compiler: KernelCompiler, step: Step, x: Tensor, y: Tensor, position: Tensor, table: Tensor) -> Launch:
    """Return the launch of ROPE; ``table`` holds the inverse frequencies."""
    head_dim = int(step.attributes["head_dim"])
    kernel = RopeKernel(head_dim, bool(step.attributes["interleaved"]), compiler.target.lanes)
    heads = x.shape[-1] // head_dim
    arguments = [address_of(x), address_of(y), address_of(position), address_of(table), heads]
    name = compiler.emit(kernel.name, kernel.emit)
    units = (1, 1) if x.symbol_axis == 0 else (x.shape[0], 0)
    return Launch(name, [*arguments, row_stride(x), row_stride(y)], units[0], unit_tokens=units[1])

"""Loads and stores of float16 in vectors, also on processors that have no instructions for them.

Without such instructions LLVM would call a function of a library that is not there.
"""

from __future__ import annotations

from typing import Any

from edge_sparse.backends.numba.simd import KernelBuilder

__all__ = ["load_halves", "store_halves"]

#: 2^112: float16 exponents moved to the place of float32 exponents are 112 too small.
_REBIAS = float(2**112)
_SMALLEST_NORMAL = float(2**-14)


def _converts(k: KernelBuilder) -> bool:
    target = k.target
    return target.lanes == 16 or "+f16c" in target.features.split(",") or target.triple.startswith(("aarch64", "arm64"))


def load_halves(k: KernelBuilder, pointer: Any, lanes: int) -> Any:
    """Return float16 lanes, from an address aligned to two bytes, as float32; infinities only where LLVM converts."""
    b = k.b
    if _converts(k):
        kind = k.ir.VectorType(k.f16, lanes) if lanes > 1 else k.f16
        value = b.load(b.bitcast(pointer, kind.as_pointer()))
        value.align = 2
        return b.fpext(value, k.vector_type(lanes))
    i16 = k.ir.IntType(16)
    kind, wide = (k.ir.VectorType(i16, lanes), k.ir.VectorType(k.i32, lanes)) if lanes > 1 else (i16, k.i32)
    stored = b.load(b.bitcast(pointer, kind.as_pointer()))
    stored.align = 2
    bits = b.zext(stored, wide)
    sign = b.shl(b.and_(bits, k.splat(k.i32(0x8000), lanes)), k.splat(k.i32(16), lanes))
    size = b.shl(b.and_(bits, k.splat(k.i32(0x7FFF), lanes)), k.splat(k.i32(13), lanes))
    value = b.fmul(b.bitcast(size, k.vector_type(lanes)), k.splat(_REBIAS, lanes))
    return b.bitcast(b.or_(b.bitcast(value, wide), sign), k.vector_type(lanes))


def store_halves(k: KernelBuilder, value: Any, pointer: Any, lanes: int) -> None:
    """Store float32 lanes as the nearest float16, ties to even; what is too large becomes infinite."""
    b = k.b
    i16 = k.ir.IntType(16)
    kind = k.ir.VectorType(i16, lanes) if lanes > 1 else i16
    if _converts(k):
        half = k.ir.VectorType(k.f16, lanes) if lanes > 1 else k.f16
        result = b.bitcast(b.fptrunc(value, half), kind)
    else:
        result = b.trunc(_rounded(k, value, lanes), kind)
    b.store(result, b.bitcast(pointer, kind.as_pointer())).align = 2


def _rounded(k: KernelBuilder, value: Any, lanes: int) -> Any:
    """Return the float16 nearest to a float32 as the low bits of an integer."""
    b = k.b

    def whole(number: int) -> Any:
        return k.splat(k.i32(number), lanes)

    bits = b.bitcast(value, whole(0).type)
    sign = b.lshr(b.and_(bits, whole(-(2**31))), whole(16))
    size = b.and_(bits, whole(0x7FFFFFFF))
    # Adding half a unit less one, plus the lowest bit that stays, rounds to even.
    odd = b.and_(b.lshr(size, whole(13)), whole(1))
    normal = b.lshr(b.add(b.sub(size, whole((112 << 23) - 0xFFF)), odd), whole(13))
    # In [0.5, 1) a float32's unit is 2^-24, that of float16's small numbers.
    shifted = b.fadd(b.bitcast(size, value.type), k.splat(0.5, lanes))
    small = b.sub(b.bitcast(shifted, size.type), whole(126 << 23))
    large = b.icmp_unsigned(">=", size, whole(0x477FF000))
    below = b.fcmp_ordered("<", b.bitcast(size, value.type), k.splat(_SMALLEST_NORMAL, lanes))
    return b.or_(sign, b.select(large, whole(0x7C00), b.select(below, small, normal)))

"""Activations as vector IR, shared by the epilogue of every kernel."""

from __future__ import annotations

from typing import Any

from edge_sparse.backends.numba.simd import ROUNDING, KernelBuilder
from edge_sparse.plan import Activation

__all__ = ["activate", "exponential"]

# exp(r) on |r| <= ln(2)/2 as a Taylor polynomial up to r^7; its relative error, 6e-9, is below float32 rounding.
_EXP_COEFFICIENTS = (1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0)
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4


def exponential(k: KernelBuilder, x: Any, lanes: int) -> Any:
    """Return exp(x); x is clamped to the range whose result is a normal float32."""
    b = k.b
    x = k.clamp_above(k.clamp_below(x, k.splat(-87.0, lanes)), k.splat(88.0, lanes))
    magic = k.splat(ROUNDING, lanes)
    shifted = k.multiply_add(x, k.splat(_LOG2_E, lanes), magic)
    power = b.fsub(shifted, magic)
    r = k.multiply_add(power, k.splat(-_LN2_HIGH, lanes), x)
    r = k.multiply_add(power, k.splat(-_LN2_LOW, lanes), r)
    value = k.splat(_EXP_COEFFICIENTS[0], lanes)
    for coefficient in _EXP_COEFFICIENTS[1:]:
        value = k.multiply_add(value, r, k.splat(coefficient, lanes))
    kind = k.ir.VectorType(k.i32, lanes) if lanes > 1 else k.i32
    shift = k.ir.Constant(kind, [23] * lanes) if lanes > 1 else k.i32(23)
    bias = k.ir.Constant(kind, [127] * lanes) if lanes > 1 else k.i32(127)
    exponent = b.shl(b.add(b.fptosi(power, kind), bias), shift)
    return b.fmul(value, b.bitcast(exponent, value.type))


def _sigmoid(k: KernelBuilder, x: Any, lanes: int) -> Any:
    one = k.splat(1.0, lanes)
    negative = k.b.fsub(k.splat(-0.0, lanes), x)
    return k.b.fdiv(one, k.b.fadd(one, exponential(k, negative, lanes)))


def _hardsigmoid(k: KernelBuilder, x: Any, lanes: int) -> Any:
    y = k.multiply_add(x, k.splat(1 / 6, lanes), k.splat(0.5, lanes))
    return k.clamp_above(k.clamp_below(y, k.splat(0.0, lanes)), k.splat(1.0, lanes))


def _gelu(k: KernelBuilder, x: Any, lanes: int) -> Any:
    # x * Phi(x), Phi by the error function of Abramowitz and Stegun 7.1.26 (absolute error below 1.5e-7).
    b = k.b
    zero, one = k.splat(0.0, lanes), k.splat(1.0, lanes)
    z = b.fmul(x, k.splat(0.7071067811865476, lanes))
    below = b.fcmp_ordered("<", z, zero)
    size = b.select(below, b.fsub(k.splat(-0.0, lanes), z), z)
    t = b.fdiv(one, k.multiply_add(size, k.splat(0.3275911, lanes), one))
    series = k.splat(1.061405429, lanes)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = k.multiply_add(series, t, k.splat(coefficient, lanes))
    tail = b.fmul(b.fmul(series, t), exponential(k, b.fsub(k.splat(-0.0, lanes), b.fmul(size, size)), lanes))
    half = k.splat(0.5, lanes)
    upper = b.fmul(half, tail)
    phi = b.select(below, upper, b.fsub(one, upper))
    return b.fmul(x, phi)


def activate(k: KernelBuilder, kind: Activation, x: Any, lanes: int, low: float = 0.0, high: float = 0.0) -> Any:
    """Return the activation of a vector. ``low`` and ``high`` bound ``CLAMP``."""
    if kind is Activation.NONE:
        return x
    if kind is Activation.RELU:
        return k.clamp_below(x, k.splat(0.0, lanes))
    if kind is Activation.CLAMP:
        return k.clamp_above(k.clamp_below(x, k.splat(low, lanes)), k.splat(high, lanes))
    if kind is Activation.HARDSIGMOID:
        return _hardsigmoid(k, x, lanes)
    if kind is Activation.HARDSWISH:
        return k.b.fmul(x, _hardsigmoid(k, x, lanes))
    if kind is Activation.SIGMOID:
        return _sigmoid(k, x, lanes)
    if kind is Activation.SILU:
        return k.b.fmul(x, _sigmoid(k, x, lanes))
    if kind is Activation.TANH:
        two = k.splat(2.0, lanes)
        return k.multiply_add(two, _sigmoid(k, k.b.fmul(two, x), lanes), k.splat(-1.0, lanes))
    return _gelu(k, x, lanes)

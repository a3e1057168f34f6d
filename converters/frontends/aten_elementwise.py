"""Rules for activations and arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from edge_sparse.converters.frontends.aten_call import Call, Unsupported
from edge_sparse.converters.frontends.aten_translation import Translation

__all__ = ["activation", "add", "clamp", "divide", "gelu", "multiply", "negate", "power", "softmax", "subtract"]

_UNBOUNDED = float(np.finfo(np.float32).max)


def activation(name: str) -> Callable[[Translation, Call], str]:
    """Return the rule of an activation without parameters."""

    def rule(t: Translation, call: Call) -> str:
        return t.emit(call, "activation", [t.tensor(call["self"])], activation=name)

    return rule


def clamp(t: Translation, call: Call) -> str:
    """Clamp, hardtanh and relu6."""
    low, high = call.get("min", call.get("min_val")), call.get("max", call.get("max_val"))
    if call.operator == "aten.relu6.default":
        low, high = 0.0, 6.0
    if hasattr(low, "meta") or hasattr(high, "meta"):
        raise Unsupported("clamp with tensors as limits")
    x = t.tensor(call["self"])
    if low == 0 and high is None:
        return t.emit(call, "activation", [x], activation="relu")
    low, high = (-_UNBOUNDED if low is None else float(low)), (_UNBOUNDED if high is None else float(high))
    return t.emit(call, "activation", [x], activation="clamp", clamp_low=low, clamp_high=high)


def gelu(t: Translation, call: Call) -> str:
    """Gelu in its exact form."""
    if call["approximate"] != "none":
        raise Unsupported(f"gelu with approximate={call['approximate']!r}")
    return activation("gelu")(t, call)


def _operand(t: Translation, call: Call, value: Any, factor: float = 1.0) -> str:
    """Return an operand times a factor."""
    if not hasattr(value, "meta"):
        return t.constant("number", [float(value) * factor])
    if factor == 1:
        return t.tensor(value, expanded=True)
    data = t.array(value)
    if data is not None:
        return t.constant(f"{t.tensor(value)}.scaled", data.astype(np.float64) * factor)
    name = t.tensor(value, expanded=True)
    return t.emit(call, "mul", [name, t.constant("number", [factor])], shape=t.shape(name))


def _binary(t: Translation, call: Call, op: str, a: str, b: str) -> str:
    shape = call.shape
    values = [t.graph.values[name] for name in (a, b)]
    if not any(value.data is None and value.shape == shape for value in values):
        raise Unsupported(f"operands of shapes {values[0].shape} and {values[1].shape}")
    full = next(value for value in values if value.data is None and value.shape == shape)
    other = values[1] if full is values[0] else values[0]
    per_channel = len(shape) == 4 and other.shape in ((1, shape[1], 1, 1), (shape[0], shape[1], 1, 1))
    if not (other.data is not None or other.shape == shape or t.size(other.name) == 1 or per_channel):
        raise Unsupported(f"operands of shapes {values[0].shape} and {values[1].shape}")
    return t.emit(call, op, [full.name, other.name])


def add(t: Translation, call: Call) -> str:
    """Sum, the second operand times ``alpha``."""
    alpha = float(call.get("alpha", 1) or 1)
    return _binary(t, call, "add", _operand(t, call, call["self"]), _operand(t, call, call["other"], alpha))


def subtract(t: Translation, call: Call) -> str:
    """Difference as a sum with the negated operand; ``rsub`` swaps the operands."""
    first, second = call["self"], call["other"]
    if "rsub" in call.operator:
        first, second = second, first
    alpha = float(call.get("alpha", 1) or 1)
    return _binary(t, call, "add", _operand(t, call, first), _operand(t, call, second, -alpha))


def multiply(t: Translation, call: Call) -> str:
    """Product."""
    return _binary(t, call, "mul", _operand(t, call, call["self"]), _operand(t, call, call["other"]))


def divide(t: Translation, call: Call) -> str:
    """Division by a number or a constant."""
    if call.get("rounding_mode") is not None:
        raise Unsupported("division that rounds")
    divisor = call["other"]
    data = t.array(divisor) if hasattr(divisor, "meta") else np.array([float(divisor)])
    if data is None:
        raise Unsupported("division by a computed tensor")
    with np.errstate(divide="ignore"):
        reciprocal = 1.0 / data.astype(np.float64)
    return _binary(t, call, "mul", _operand(t, call, call["self"]), t.constant("reciprocal", reciprocal))


def negate(t: Translation, call: Call) -> str:
    """Change of sign."""
    return t.emit(call, "mul", [t.tensor(call["self"]), t.constant("number", [-1.0])])


def power(t: Translation, call: Call) -> str:
    """Square."""
    if call["exponent"] != 2:
        raise Unsupported(f"power {call['exponent']}")
    x = t.tensor(call["self"])
    return t.emit(call, "mul", [x, x])


def softmax(t: Translation, call: Call) -> str:
    """Softmax over the last axis."""
    rank = len(call.shape)
    if int(call["dim"]) % rank != rank - 1:
        raise Unsupported(f"softmax over axis {call['dim']} of {rank}")
    return t.emit(call, "softmax", [t.tensor(call["self"])])

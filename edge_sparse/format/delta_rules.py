"""Rules of DELTA_ATTENTION: what its state tensors must hold, so that no kernel can leave them whatever is in them."""

from __future__ import annotations

import math

from edge_sparse.format.spec import WINDOW_LIMIT
from edge_sparse.format.step_view import StepView
from edge_sparse.plan import DType, Storage, Tensor

__all__ = ["delta_attention", "mark_words"]

#: Stored changes of a kv head are counted in signed 32 bits.
_COUNT_LIMIT = (1 << 31) - 1


def mark_words(head_dim: int) -> int:
    """Return the 32-bit words of one token's marks: where its changes end, then one bit per element."""
    return 1 + -(-head_dim // 32)


def delta_attention(view: StepView) -> None:
    """Check a step of DELTA_ATTENTION."""
    heads, kv_heads = view.need_word("heads", 1, WINDOW_LIMIT), view.need_word("kv_heads", 1, WINDOW_LIMIT)
    head, sinks = view.need_word("head_dim", 1, WINDOW_LIMIT), view.need_word("sinks", 0, WINDOW_LIMIT)
    view.need_number("scale")
    view.need_number("theta", low=0.0)
    view.need(heads % kv_heads == 0, "STEP_ATTRIBUTE", f"{kv_heads} kv_heads do not divide {heads} heads")
    for tensor, name, width in (
        (view.y, "y", heads * head),
        (view.needed(0), "q", heads * head),
        (view.needed(1), "k", kv_heads * head),
        (view.needed(2), "v", kv_heads * head),
    ):
        view.need_float(tensor, name)
        view.need_even_rows(tensor, name)
        view.need_shape(tensor, name, (view.y.shape[0], width))
        view.need_same_symbol(tensor, name)
    _state(view, heads_width=kv_heads * head, kv_heads=kv_heads, head=head, sinks=sinks)
    position = view.needed(5)
    view.need(position.dtype is DType.S32, "STEP_DTYPE", f"position holds {position.dtype.name}")
    view.need_storage(position, "position", (Storage.INPUT,))
    fits = math.prod(position.shape) == 2 and position.symbol_axis < 0
    view.need(fits, "STEP_SHAPE", f"position has shape {position.shape}, not two numbers")


def _state(view: StepView, heads_width: int, kv_heads: int, head: int, sinks: int) -> None:
    """Check that there is room for as many changes as there are elements, and for the exact keys of a run."""
    deltas, values, exact, marks = (view.needed(index) for index in (3, 4, 6, 7))
    floats = (DType.F32, DType.F16)
    view.need(len(values.shape) == 2, "STEP_SHAPE", f"v_cache has shape {values.shape}")
    capacity, tokens = values.shape[0], view.y.shape[0]
    view.need(capacity >= tokens, "STEP_SHAPE", "v_cache holds fewer rows than one run brings")
    view.need(capacity * head <= _COUNT_LIMIT, "STEP_SHAPE", f"{capacity} keys of {head} elements are too many")
    _own(view, deltas, "deltas", floats, (kv_heads, capacity * head))
    _own(view, values, "v_cache", floats, (capacity, heads_width))
    rows = exact.shape[0] if exact.shape else 0
    _own(view, exact, "exact_keys", (DType.F32,), (max(rows, 1 + sinks + tokens), heads_width))
    _own(view, marks, "marks", (DType.S32,), (kv_heads, capacity + 2, mark_words(head)))


def _own(view: StepView, tensor: Tensor, name: str, dtypes: tuple[DType, ...], shape: tuple[int, ...]) -> None:
    view.need_storage(tensor, name, (Storage.STATE,))
    view.need(tensor.dtype in dtypes, "STEP_DTYPE", f"{name} holds {tensor.dtype.name}")
    view.need_even_rows(tensor, name)
    view.need_shape(tensor, name, shape)
    view.need(tensor.symbol_axis < 0, "STEP_SYMBOL", f"{name} follows the symbol")

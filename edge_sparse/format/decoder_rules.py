"""Rules of the operations that decoders need: EMBEDDING, RMS_NORM, ROPE, ATTENTION, TAKE_LAST."""

from __future__ import annotations

import math

from edge_sparse.format.spec import WINDOW_LIMIT
from edge_sparse.format.step_view import StepView
from edge_sparse.plan import CACHE_BLOCK, DType, Op, Storage, Tensor, row_major_strides

__all__ = ["DECODER_RULES"]


def _tokens(view: StepView, tensor: Tensor, name: str, width: int | None = None) -> int:
    """Check rows of floats, one per token; return their width."""
    view.need_float(tensor, name)
    view.need_even_rows(tensor, name)
    view.need(len(tensor.shape) == 2, "STEP_SHAPE", f"{name} has shape {tensor.shape}, not (tokens, width)")
    view.need(width in (None, tensor.shape[1]), "STEP_SHAPE", f"{name} has rows of {tensor.shape[1]}, not {width}")
    return tensor.shape[1]


def _same_tokens(view: StepView, tensor: Tensor, name: str) -> None:
    view.need_same_symbol(tensor, name)
    y = view.y
    view.need(tensor.shape[0] == y.shape[0], "STEP_SHAPE", f"{name} has {tensor.shape[0]} rows, y {y.shape[0]}")


def _position(view: StepView, index: int, *, numbers: int = 1) -> None:
    """Check a scalar input; up to ``numbers`` elements are allowed, of which the step uses the first."""
    position = view.needed(index)
    view.need(position.dtype is DType.S32, "STEP_DTYPE", f"position holds {position.dtype.name}")
    view.need_storage(position, "position", (Storage.INPUT,))
    fits = math.prod(position.shape) <= numbers and position.symbol_axis < 0
    view.need(fits, "STEP_SHAPE", f"position has shape {position.shape}")


def _embedding(view: StepView) -> None:
    ids, table, y = view.needed(0), view.input(1), view.y
    view.need(ids.dtype is DType.S32, "STEP_DTYPE", f"ids hold {ids.dtype.name}")
    view.need_storage(ids, "ids", (Storage.INPUT,))
    view.need(len(ids.shape) == 1, "STEP_SHAPE", f"ids have shape {ids.shape}")
    width = _tokens(view, y, "y")
    _same_tokens(view, ids, "ids")
    if table is None:
        view.need(0 <= view.word("matrix") < len(view.matrices), "STEP_MATRIX", f"matrix {view.word('matrix')}")
        columns = view.matrices[view.word("matrix")].columns
        view.need(columns == width, "STEP_SHAPE", f"y has rows of {width}, the matrix has {columns} columns")
        return
    view.need_word("matrix", -1, -1)
    view.need_storage(table, "table", (Storage.CONSTANT,))
    _tokens(view, table, "table", width)


def _rms_norm(view: StepView) -> None:
    x, y = view.needed(0), view.y
    view.need_number("epsilon", low=0.0)
    for tensor, name in ((x, "x"), (y, "y")):
        view.need_float(tensor, name)
        view.need_even_rows(tensor, name)
    view.need_shape(x, "x", y.shape)
    view.need_same_symbol(x, "x")
    view.need_vector(view.needed(1), "weight", y.shape[-1])


def _rope(view: StepView) -> None:
    x, frequencies, y = view.needed(0), view.needed(2), view.y
    view.need_word("interleaved", 0, 1)
    head = view.need_word("head_dim", 2, WINDOW_LIMIT)
    width = _tokens(view, y, "y")
    _tokens(view, x, "x", width)
    _same_tokens(view, x, "x")
    _position(view, 1, numbers=2)
    view.need(head % 2 == 0 and width % head == 0, "STEP_ATTRIBUTE", f"head_dim {head} does not divide {width}")
    view.need_vector(frequencies, "inverse_frequencies", head // 2)


def _attention(view: StepView) -> None:
    heads, kv_heads = view.need_word("heads", 1, WINDOW_LIMIT), view.need_word("kv_heads", 1, WINDOW_LIMIT)
    head = view.need_word("head_dim", 1, WINDOW_LIMIT)
    view.need_number("scale")
    view.need(heads % kv_heads == 0, "STEP_ATTRIBUTE", f"{kv_heads} kv_heads do not divide {heads} heads")
    _tokens(view, view.y, "y", heads * head)
    for index, (name, width) in enumerate((("q", heads * head), ("k", kv_heads * head), ("v", kv_heads * head))):
        _tokens(view, view.needed(index), name, width)
        _same_tokens(view, view.needed(index), name)
    rows = view.needed(3).shape[:1]
    for index, name in ((3, "k_cache"), (4, "v_cache")):
        cache = view.needed(index)
        view.need(cache.dtype in (DType.F32, DType.F16, DType.S8), "STEP_DTYPE", f"{name} holds {cache.dtype.name}")
        view.need(cache.dtype is view.needed(3).dtype, "STEP_DTYPE", "k_cache and v_cache hold different types")
        _state(view, cache, name, (*rows, kv_heads * head))
    _position(view, 5)
    integers = view.needed(3).dtype is DType.S8
    for index, name in ((6, "k_scales"), (7, "v_scales")):
        scales = view.input(index)
        view.need((scales is not None) == integers, "STEP_INPUT_COUNT", f"{name} belongs to S8 caches, and to no other")
        if scales is not None:
            view.need(scales.dtype is DType.F32, "STEP_DTYPE", f"{name} holds {scales.dtype.name}")
            _state(view, scales, name, (*rows, kv_heads))


def _state(view: StepView, tensor: Tensor, name: str, shape: tuple[int, ...]) -> None:
    """Check a state tensor of one row per token; kernels arrange its elements as they like."""
    view.need_storage(tensor, name, (Storage.STATE,))
    view.need_even_rows(tensor, name)
    view.need(len(tensor.shape) == 2, "STEP_SHAPE", f"{name} has shape {tensor.shape}")
    view.need_shape(tensor, name, shape)
    view.need(tensor.strides == row_major_strides(shape), "STEP_STRIDES", f"the rows of {name} have gaps")
    view.need(tensor.symbol_axis < 0, "STEP_SYMBOL", f"{name} follows the symbol")
    view.need(shape[0] >= view.y.shape[0], "STEP_SHAPE", f"{name} holds fewer rows than one run brings")
    view.need(shape[0] % CACHE_BLOCK == 0, "STEP_SHAPE", f"{name} has {shape[0]} rows, no multiple of {CACHE_BLOCK}")


def _take_last(view: StepView) -> None:
    x, y = view.needed(0), view.y
    width = _tokens(view, y, "y")
    _tokens(view, x, "x", width)
    view.need(y.shape[0] == 1 and y.symbol_axis < 0, "STEP_SHAPE", f"y has shape {y.shape}, not one row")


DECODER_RULES = {
    Op.EMBEDDING: _embedding,
    Op.RMS_NORM: _rms_norm,
    Op.ROPE: _rope,
    Op.ATTENTION: _attention,
    Op.TAKE_LAST: _take_last,
}

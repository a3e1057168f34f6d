"""From a step DELTA_ATTENTION to its two launches: store this run's keys and values, then attend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.delta_attend import QUERY_TOKENS, DeltaAttendKernel
from edge_sparse.backends.numba.delta_store import DeltaStoreKernel
from edge_sparse.backends.numba.delta_tile import DeltaShape
from edge_sparse.backends.numba.launch import TOKENS, Launch, address_of, row_stride
from edge_sparse.backends.numba.scratch import Scratch
from edge_sparse.errors import BackendError
from edge_sparse.plan import Step, Tensor

__all__ = ["delta_attention_launches"]

#: Rows of keys are unrolled into registers.
_LARGEST_HEAD = 256


def delta_attention_launches(
    compiler: KernelCompiler, scratch: Scratch, step: Step, inputs: Sequence[Tensor], y: Tensor
) -> list[Launch]:
    """Return the launches of the step; ``inputs`` are its eight operands in the order of the op table."""
    q, k, v, deltas, v_cache, position, exact, marks = inputs
    words = step.attributes
    heads, kv_heads, head_dim, sinks = (int(words[name]) for name in ("heads", "kv_heads", "head_dim", "sinks"))
    if head_dim > _LARGEST_HEAD:
        message = f"delta attention over heads of {head_dim} elements, more than {_LARGEST_HEAD}"
        raise BackendError("PLAN_UNSUPPORTED", message, "use backend='reference'")
    state = [deltas, v_cache, position, exact, marks]
    strides = [*(row_stride(tensor) for tensor in (deltas, v_cache, exact)), marks.strides[1], marks.strides[0]]
    tail = [sinks, exact.shape[0] - 1 - sinks]
    places = [address_of(tensor) for tensor in state]
    # With one token per run, its axis says nothing about rows of inputs.
    tokens: object = TOKENS if y.symbol_axis == 0 else y.shape[0]
    store = DeltaStoreKernel(head_dim, deltas.dtype, v_cache.dtype)
    theta = np.array([words["theta"]], np.float32)
    arguments = [address_of(k), address_of(v), *places, theta, tokens, row_stride(k), row_stride(v), *strides, *tail]
    first = Launch(compiler.emit(store.name, store.emit), arguments, kv_heads)  # type: ignore[arg-type]
    group = heads // kv_heads
    attend = DeltaAttendKernel(DeltaShape(head_dim, group, compiler.target.lanes, deltas.dtype, v_cache.dtype))
    units = kv_heads * -(-y.shape[0] // QUERY_TOKENS)
    (memory,) = scratch.places(4 * attend.scratch_floats * units)
    scale = np.array([words["scale"]], np.float32)
    strides = [row_stride(q), row_stride(y), *strides]
    arguments = [address_of(q), address_of(y), *places, scale, memory, tokens, *strides, *tail, kv_heads, group]
    name = compiler.emit(attend.name, attend.emit)
    if y.symbol_axis == 0:
        return [first, Launch(name, arguments, kv_heads, unit_tokens=QUERY_TOKENS)]  # type: ignore[arg-type]
    return [first, Launch(name, arguments, units)]  # type: ignore[arg-type]

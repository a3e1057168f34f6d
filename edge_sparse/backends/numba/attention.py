"""ATTENTION: a launch that stores keys and values, and one that attends, for single tokens or for many."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge_sparse.backends.numba.attention_kernel import AttendKernel
from edge_sparse.backends.numba.attention_layout import AttentionLayout, choose_layout
from edge_sparse.backends.numba.attention_store import AttentionStore
from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.launch import TOKENS, Launch, RunValue, address_of, row_stride
from edge_sparse.backends.numba.target import Target
from edge_sparse.errors import BackendError
from edge_sparse.plan import Step, Tensor

__all__ = ["attend_kernel", "attention_launches"]

#: Largest head, and most elements of the queries of one kv head: kernels keep them on the stack and unroll over a head.
_MOST_DIMS, _MOST_ELEMENTS = 1024, 16384
#: Bytes of sums that a unit keeps, beside a block of keys and values, in the first-level cache.
_SUM_BYTES = 8192


def attend_kernel(target: Target, layout: AttentionLayout, group: int, *, single: bool) -> AttendKernel:
    """Return the kernel for ``group`` query heads per kv head, for a single token or for many."""
    most = 4 if target.lanes >= 8 else 2
    if single:
        return AttendKernel(layout, group, 1, -(-group // -(-group // most)), target.lanes)
    tokens = max(1, min(16, _SUM_BYTES // (4 * layout.head_dim * group)))
    return AttendKernel(layout, group, tokens, min(most, group * tokens), target.lanes)


def attention_launches(
    compiler: KernelCompiler, step: Step, operands: Sequence[Tensor | None], y: Tensor
) -> list[Launch]:
    """Return the launches of ATTENTION; position and tokens must fit the caches when they run.

    Parameters
    ----------
    compiler : KernelCompiler
    step : Step
    operands : sequence of Tensor or None
        q, k, v, k_cache, v_cache, position and, of S8 caches, k_scales, v_scales.
    y : Tensor

    Raises
    ------
    BackendError
        ``PLAN_UNSUPPORTED``: heads too large for the kernels' stack.
    """
    q, k, v, k_cache, v_cache, position = (tensor for tensor in operands[:6] if tensor is not None)
    scales = [0 if tensor is None else address_of(tensor) for tensor in (*operands[6:8], None, None)[:2]]
    heads, kv_heads, head_dim = (int(step.attributes[name]) for name in ("heads", "kv_heads", "head_dim"))
    if head_dim > _MOST_DIMS or head_dim * heads // kv_heads > _MOST_ELEMENTS:
        message = f"{step.name} has {heads // kv_heads} heads of {head_dim} per kv head"
        hint = f"use backend='reference'; kernels hold heads of {_MOST_DIMS} and {_MOST_ELEMENTS} elements of a kv head"
        raise BackendError("PLAN_UNSUPPORTED", message, hint)
    layout = choose_layout(compiler.target, k_cache.dtype, head_dim)
    caches = [address_of(k_cache), address_of(v_cache), *scales, address_of(position)]
    symbolic = y.symbol_axis == 0
    store = AttentionStore(layout)
    numbers = [k_cache.shape[0], kv_heads, row_stride(k), row_stride(v)]
    launches = [
        Launch(
            compiler.emit(store.name, store.emit),
            [address_of(k), address_of(v), *caches, *numbers],
            1 if symbolic else y.shape[0],
            unit_tokens=int(symbolic),
        )
    ]
    tokens: RunValue | int = TOKENS if symbolic else y.shape[0]
    factor = np.array([float(step.attributes["scale"]) * math.log2(math.e)], np.float32)
    numbers = [k_cache.shape[0], kv_heads, row_stride(q), row_stride(y)]
    for single, range_ in ((True, (1, 1)), (False, (2, 1 << 31))):
        if not symbolic and single != (y.shape[0] == 1):
            continue
        kernel = attend_kernel(compiler.target, layout, heads // kv_heads, single=single)
        arguments = [address_of(q), address_of(y), *caches, tokens, *numbers, factor]
        name = compiler.emit(kernel.name, kernel.emit)
        if symbolic:
            launches.append(Launch(name, arguments, kv_heads, unit_tokens=kernel.tokens, tokens=range_))
        else:
            launches.append(Launch(name, arguments, kv_heads * -(-y.shape[0] // kernel.tokens)))
    return launches

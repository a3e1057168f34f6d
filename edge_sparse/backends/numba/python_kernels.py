"""Kernels that need no register tile, written in Python and compiled by Numba.

They share the signature ``kernel(args, begin, end)`` with the vector kernels: ``args`` is an array of 64-bit integers
(addresses and sizes), the work units ``begin .. end - 1`` belong to the caller. Numba turns each into LLVM IR, which
goes through the same cache as all other kernels; a warm start does not import Numba.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from edge_sparse.backends.numba.target import Target

__all__ = ["source_of", "to_llvm"]


def source_of(function: Callable[..., None]) -> str:
    """Return the text that decides a kernel's code, for the cache key."""
    import importlib.metadata

    return inspect.getsource(function) + "numba " + importlib.metadata.version("numba")


def to_llvm(function: Callable[..., None], target: Target) -> tuple[str, str]:
    """Compile a kernel with Numba; returns its symbol and its LLVM IR."""
    import numba
    from numba import types

    signature = types.void(types.CPointer(types.int64), types.int64, types.int64)
    # The IR is optimised for Numba's CPU, which NUMBA_CPU_NAME and NUMBA_CPU_FEATURES choose as they choose ours.
    compiled: Any = numba.cfunc(signature, error_model="numpy", nopython=True)(function)
    return compiled.native_name, compiled.inspect_llvm()

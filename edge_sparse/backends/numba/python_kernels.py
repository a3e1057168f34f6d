"""Compiles the kernels that are written in Python (``scalar_kernels.py``) with Numba, down to LLVM IR.

The IR goes through the same cache as all other kernels; a warm start does not import Numba.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import re
import types as python_types
from collections.abc import Callable
from typing import Any

from edge_sparse.backends.numba.target import Target

__all__ = ["numba_version", "source_of", "to_llvm"]


@functools.cache
def numba_version() -> str:
    """Return the installed version without importing Numba."""
    return importlib.metadata.version("numba")


def source_of(function: Callable[..., None]) -> str:
    """Return a function's text, for the cache key of a kernel from elsewhere."""
    return inspect.getsource(function)


def to_llvm(function: Callable[..., None], target: Target) -> tuple[str, str]:
    """Compile a kernel with Numba; returns its symbol and its LLVM IR."""
    import numba
    from numba import types

    pointers = {"floats": _pointer_at(types.float32), "integers": _pointer_at(types.int64)}
    with_pointers: Any = python_types.FunctionType(
        function.__code__,  # type: ignore[attr-defined]
        {**function.__globals__, **pointers},  # type: ignore[attr-defined]
        function.__name__,
    )
    signature = types.void(types.CPointer(types.int64), types.int64, types.int64)
    # The IR is optimised for Numba's CPU, which NUMBA_CPU_NAME and NUMBA_CPU_FEATURES choose as they choose ours.
    compiled: Any = numba.cfunc(signature, error_model="numpy", nopython=True)(with_pointers)
    text = compiled.inspect_llvm()
    # An object from the cache is loaded without Numba and must not call into it (or into Python, to raise).
    calls = re.findall(r"declare [^@]*@(numba_\w+|Py\w+)", text)
    if calls:
        raise AssertionError(f"{function.__name__} calls {', '.join(calls)}")
    return compiled.native_name, text


def _pointer_at(element: Any) -> Any:
    """Return a Numba intrinsic that makes a pointer to ``element`` of an address."""
    from numba import types
    from numba.extending import intrinsic

    @intrinsic  # type: ignore[untyped-decorator]
    def pointer_at(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(types.CPointer(element)))

        return types.CPointer(element)(types.int64), generate

    return pointer_at

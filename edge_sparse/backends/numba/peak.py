"""The multiply-add limit of one core, measured."""

from __future__ import annotations

import ctypes
import time

import numpy as np

from edge_sparse.backends.numba.cache import ObjectCache
from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.simd import KernelBuilder

__all__ = ["peak_gflops"]

#: Independent sums: enough to hide the latency of a multiply-add on two units, few enough for 16 registers.
ACCUMULATORS = 12
ITERATIONS = 200_000


def peak_gflops(repeats: int = 20) -> float:
    """Measure the float32 multiply-add limit of one core in GFLOP/s: the best of some runs of a loop in registers."""
    compiler = KernelCompiler(cache=ObjectCache(None))
    name = compiler.emit("peak", _emit)
    compiler.load()
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(compiler.address(name))
    x = np.zeros(16, np.float32)
    table = np.array([x.ctypes.data], np.int64)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function(table.ctypes.data, 0, ITERATIONS)
        seconds.append(time.perf_counter() - start)
    return 2 * ACCUMULATORS * compiler.target.lanes * ITERATIONS / min(seconds[1:]) / 1e9


def _emit(k: KernelBuilder) -> None:
    lanes = k.target.lanes
    x = k.load(k.pointer(0), lanes)
    with k.reduce(k.begin, k.end, [x] * ACCUMULATORS) as (_, sums, following):
        following[:] = [k.multiply_add(x, x, value) for value in sums]
    total = sums[0]
    for value in sums[1:]:
        total = k.b.fadd(total, value)
    k.store(total, k.pointer(0), lanes)

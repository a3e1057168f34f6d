"""The rate at which cores read memory, measured."""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from edge_sparse.backends.numba.cache import ObjectCache
from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.simd import KernelBuilder

__all__ = ["read_bandwidth"]

#: Vectors that are read before the next iteration; each adds to a sum of its own.
STREAMS = 8


def read_bandwidth(threads: int = 1, mebibytes: int = 256, repeats: int = 7) -> float:
    """Measure how many GB/s some threads read together: the best of some passes over ``mebibytes`` for each.

    The memory is far larger than the caches should be, so what is measured is DRAM.
    """
    compiler = KernelCompiler(cache=ObjectCache(None))
    name = compiler.emit("read", _emit)
    compiler.load()
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(compiler.address(name))
    # Ones, because pages that were never written are all the same page of zeros.
    memory = np.ones((threads, (mebibytes << 20) // 4), np.float32)
    sums = np.zeros((threads, 64), np.float32)
    units = memory.shape[1] // (STREAMS * compiler.target.lanes)
    tables = [np.array([row.ctypes.data, total.ctypes.data], np.int64) for row, total in zip(memory, sums, strict=True)]
    seconds = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(repeats + 1):
            start = time.perf_counter()
            # A ctypes call lets go of the interpreter's lock.
            list(pool.map(lambda table: function(table.ctypes.data, 0, units), tables))
            seconds.append(time.perf_counter() - start)
    return memory.nbytes / min(seconds[1:]) / 1e9


def _emit(k: KernelBuilder) -> None:
    lanes = k.target.lanes
    memory = k.pointer(0)
    zero = k.splat(0.0, lanes)
    with k.reduce(k.begin, k.end, [zero] * STREAMS) as (unit, sums, following):
        first = k.at(memory, k.b.mul(unit, k.integer(STREAMS * lanes)))
        following[:] = [
            k.b.fadd(value, k.load(k.at(first, stream * lanes), lanes)) for stream, value in enumerate(sums)
        ]
    total = sums[0]
    for value in sums[1:]:
        total = k.b.fadd(total, value)
    k.store(total, k.pointer(1), lanes)

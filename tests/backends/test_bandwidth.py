"""The measure of memory really reads all of it, and divides by the right time."""

import ctypes

import numpy as np
import pytest

from edge_sparse.backends.numba import bandwidth
from edge_sparse.backends.numba.cache import ObjectCache
from edge_sparse.backends.numba.compiler import KernelCompiler


def test_the_kernel_adds_every_number_once():
    compiler = KernelCompiler(cache=ObjectCache(None))
    name = compiler.emit("read", bandwidth._emit)
    compiler.load()
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(compiler.address(name))
    lanes = compiler.target.lanes
    memory = np.arange(5 * bandwidth.STREAMS * lanes, dtype=np.float32)
    sums = np.full(lanes, np.nan, np.float32)
    table = np.array([memory.ctypes.data, sums.ctypes.data], np.int64)
    function(table.ctypes.data, 1, 4)
    np.testing.assert_array_equal(sums, memory.reshape(5, bandwidth.STREAMS, lanes)[1:4].sum((0, 1)))


def test_the_rate_is_all_threads_bytes_over_the_best_pass(monkeypatch):
    # Every pass looks at the clock twice; the first does not count.
    ticks = iter([0.0, 9.0, 10.0, 10.004, 20.0, 20.001])
    monkeypatch.setattr(bandwidth.time, "perf_counter", lambda: next(ticks))
    assert bandwidth.read_bandwidth(2, mebibytes=8, repeats=2) == pytest.approx(2 * (8 << 20) / 0.001 / 1e9)

"""The measure of memory really reads all of it, and says something plausible."""

import ctypes

import numpy as np

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


def test_the_measure_is_plausible():
    assert 0.1 < bandwidth.read_bandwidth(2, mebibytes=8, repeats=2) < 100_000

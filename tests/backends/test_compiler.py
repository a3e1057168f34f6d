"""Kernels written in Python and in vector IR go through one compiler and one cache."""

import ctypes

import numpy as np
import pytest

from edge_sparse.backends.numba.cache import ObjectCache
from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.target import host_target

SIGNATURE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def double_integers(args, begin, end):
    for i in range(begin, end):
        args[i] = 2 * args[i]


def call(compiler, name, table, begin, end):
    SIGNATURE(compiler.address(name))(table.ctypes.data, begin, end)


def test_python_kernel_is_compiled_once(tmp_path):
    for expected in (1, 0):
        compiler = KernelCompiler(cache=ObjectCache(tmp_path))
        name = compiler.python(double_integers)
        compiler.load()
        table = np.arange(10, dtype=np.int64)
        call(compiler, name, table, 3, 6)
        assert table.tolist() == [0, 1, 2, 6, 8, 10, 6, 7, 8, 9]
        assert compiler.compiled == expected


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16])
def test_every_second_element(lanes):
    def kernel(k: KernelBuilder) -> None:
        k.store(k.every_second(k.pointer(0), lanes), k.pointer(1), lanes)

    compiler = KernelCompiler(cache=ObjectCache(None))
    name = compiler.emit(f"every_second_{lanes}", kernel)
    compiler.load()
    x, y = np.arange(40, dtype=np.float32), np.zeros(17, np.float32)
    call(compiler, name, np.array([x.ctypes.data, y.ctypes.data], np.int64), 0, 1)
    assert y.tolist() == [2 * i for i in range(lanes)] + [0] * (17 - lanes)


def test_reduce_carries_values_and_runs_zero_times():
    def kernel(k: KernelBuilder) -> None:
        with k.reduce(k.begin, k.end, [k.integer(100)]) as (index, carried, following):
            following[0] = k.b.add(carried[0], index)
        k.b.store(carried[0], k.args)

    compiler = KernelCompiler(host_target(), ObjectCache(None))
    name = compiler.emit("sum", kernel)
    compiler.load()
    table = np.zeros(1, np.int64)
    call(compiler, name, table, 1, 5)
    assert table[0] == 110
    call(compiler, name, table, 5, 5)
    assert table[0] == 100

"""The mean over pixels, of a caller's array too, behind which nothing may be read."""

import ctypes
import mmap
import multiprocessing
import sys

import numpy as np
import pytest

from edge_sparse import Session
from edge_sparse.plan import DType, Layout, Model, Op, Plan, Step, Storage, Tensor, row_major_strides


def mean_model(shape, layout):
    n, c, h, w = shape
    strides = row_major_strides(shape) if layout is Layout.CHW else (h * w * c, 1, w * c, c)
    x = Tensor("x", DType.F32, shape, layout, Storage.INPUT, strides=strides, extent=(0, 4 * n * c * h * w))
    y = Tensor("y", DType.F32, (n, c), Layout.ROW_MAJOR, Storage.OUTPUT, strides=(c, 1), extent=(0, 4 * n * c))
    step = Step(Op.MEAN, "mean", (0,), (1,), {"activation": 0, "clamp_low": 0.0, "clamp_high": 0.0})
    return Model((Plan("main", (x, y), (step,), (0,), (1,), 0),))


@pytest.mark.parametrize("layout", [Layout.CHW, Layout.NHWC])
@pytest.mark.parametrize("size", [(3, 5, 7), (1, 1, 1), (17, 4, 16), (33, 3, 19), (16, 1, 40)])
def test_mean_equals_numpy(layout, size):
    session = Session.from_model(mean_model((2, *size), layout))
    x = np.random.default_rng(0).standard_normal(session.inputs[0].shape).astype(np.float32)
    expected = x.mean(axis=(2, 3) if layout is Layout.CHW else (1, 2), dtype=float)
    np.testing.assert_allclose(session(x), expected, rtol=1e-5, atol=1e-6)


def averaged_beside_a_forbidden_page(layout):
    """Average an array that ends where its page ends; touching the page behind it ends the process."""
    session = Session.from_model(mean_model((1, 3, 5, 7), layout))
    pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    count = 3 * 5 * 7
    whole = np.frombuffer(pages, np.float32)
    x = whole[mmap.PAGESIZE // 4 - count : mmap.PAGESIZE // 4].reshape(session.inputs[0].shape)
    x[:] = np.arange(count).reshape(x.shape)
    protect = ctypes.CDLL(None).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    assert protect(whole.ctypes.data + mmap.PAGESIZE, mmap.PAGESIZE, 0) == 0
    expected = x.mean(axis=(2, 3) if layout is Layout.CHW else (1, 2))
    np.testing.assert_allclose(session(x), expected, rtol=1e-6)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="protects a page with Linux's mprotect")
@pytest.mark.parametrize("layout", [Layout.CHW, Layout.NHWC])
def test_nothing_is_read_behind_the_input(layout):
    process = multiprocessing.get_context("fork").Process(target=averaged_beside_a_forbidden_page, args=(layout,))
    process.start()
    process.join(60)
    assert process.exitcode == 0

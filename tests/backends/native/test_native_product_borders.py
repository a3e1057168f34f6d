"""Products on images with borders, gaps and neighbours in memory, in an arena that is full of NaN at first."""

import numpy as np
import pytest
from image_plan import ImagePlan, agree, random_image

from edge_sparse.format.packing import pack_dense
from edge_sparse.plan import Activation, Border, DType, Layout, Op

BORDERS = [Border(), Border(1, 1, 1, 1), Border(0, 2, 1, 0), Border(2, 0, 0, 3)]


def product(x_layout, y_layout, size, border, group, *, gap=0, pixel=0, kernel=3, rows=None, residual=True, batch=2):
    """Return a plan of one convolution that keeps the size, and its result's number."""
    plan = ImagePlan(x_layout, gap, pixel)
    random = np.random.default_rng(size[0] * 100 + size[1])
    rows, channels = rows or 2 * group + 1, 5
    weights = random.standard_normal((rows, channels * kernel * kernel)).astype(np.float32)
    for first in range(0, rows, group):
        weights[first : first + group, random.random(weights.shape[1]) < 0.5] = 0
    plan.matrices.append(pack_dense("", weights, group))
    reach = kernel // 2
    # Rows of all images are equally far apart, as flat indices in CHW need it.
    widest = max(reach, border.left, border.right)

    def extra(own):
        return gap + widest - max(own.left, own.right)

    inside = Border(reach, reach, reach, reach) if reach else Border()
    x = plan.filled(random_image((batch, channels, *size)), inside, extra(inside))
    plan.layout = y_layout
    shape = (batch, rows, *size)
    other = plan.filled(random_image(shape, 3), gap=extra(Border())) if residual else -1
    y = plan.image(shape, border, extra(border))
    bias = plan.constant(random.standard_normal(rows).astype(np.float16))
    words = {"kernel_h": kernel, "kernel_w": kernel, "pad_top": reach, "pad_left": reach, "matrix": 0}
    plan.run_step(Op.SPMM, [x, bias, other], y, **words, activation=int(Activation.RELU))
    plan.show(y)
    return plan


SIZES = [(1, 1), (1, 5), (5, 1), (3, 4), (2, 17), (4, 23), (7, 7), (9, 14)]


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layout", [Layout.CHW, Layout.NHWC])
def test_writes_its_border_and_nothing_else(layout, size, border):
    for group in (2, 4, 16):
        for gap in (0, 3):
            agree(product(layout, layout, size, border, group, gap=gap, pixel=gap))


@pytest.mark.parametrize("group", [1, 8, 32])
@pytest.mark.parametrize("size", SIZES)
def test_nhwc_from_chw(size, group):
    agree(product(Layout.CHW, Layout.NHWC, size, Border(1, 0, 2, 1), group, pixel=2))


@pytest.mark.parametrize("layout", [Layout.CHW, Layout.NHWC])
def test_pointwise_without_residual(layout):
    for border in BORDERS:
        agree(product(layout, layout, (6, 11), border, 4, kernel=1, residual=False, batch=1))


@pytest.mark.parametrize("stride", [(2, 2), (3, 2), (1, 2), (2, 1)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 2), (2, 1)])
def test_phases(stride, padding):
    plan = ImagePlan(Layout.CHW)
    channels, rows, (height, width) = 3, 11, (13, 18)
    source = plan.filled(random_image((2, channels, height, width)))
    phases = stride[0] * stride[1]
    inner = (-(-height // stride[0]), -(-width // stride[1]))
    kernel = (3, 4)
    out = tuple((n + 2 * p - k) // s + 1 for n, p, k, s in zip((height, width), padding, kernel, stride, strict=True))
    # Whatever lies outside the phases is zero: pad generously, to one row distance for x and y.
    border = Border(2, 2, 4, 4)
    row = max(inner[1] + 4, out[1])
    x = plan.image((2, phases * channels, *inner), border, row - inner[1] - 4)
    plan.run_step(Op.PHASE_SPLIT, [source], x, stride_h=stride[0], stride_w=stride[1])
    random = np.random.default_rng(0)
    weights = random.standard_normal((rows, channels * kernel[0] * kernel[1])).astype(np.float32)
    plan.matrices.append(pack_dense("", weights * (random.random(weights.shape[1]) < 0.7), 4, dtype=DType.F16))
    y = plan.image((2, rows, *out), Border(), row - out[1])
    words = {"kernel_h": kernel[0], "kernel_w": kernel[1], "stride_h": stride[0], "stride_w": stride[1]}
    words |= {"pad_top": padding[0], "pad_left": padding[1], "phase_split": 1, "matrix": 0}
    plan.run_step(Op.SPMM, [x, -1, -1], y, **words)
    plan.show(y)
    agree(plan)

"""Depthwise convolutions, pools and means of the C core against the reference, on shapes around every tile edge."""

from dataclasses import replace

import numpy as np
import pytest
from image_plan import ImagePlan, agree, random_image

from edge_sparse.plan import Activation, Border, Layout, Op

LAYOUTS = [Layout.CHW, Layout.NHWC]
WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 13, 14, 15, 16, 17, 19, 28, 33]
SURROUND = Border(2, 1, 1, 2)


def depthwise(
    plan, x, kernel, stride=(1, 1), dilation=(1, 1), border=SURROUND, bias=np.float32, weights=np.float32, **words
):
    """Add a depthwise convolution that keeps to the border of x; its result has a border of its own."""
    source = plan.tensors[x]
    batch, channels, height, width = source.shape
    frame = source.border
    pads = ((frame.top, frame.bottom), (frame.left, frame.right))
    axes = zip((height, width), pads, kernel, stride, dilation, strict=True)
    size = [(length + sum(pad) - (k - 1) * d - 1) // s + 1 for length, pad, k, s, d in axes]
    taps = plan.constant(random_image((channels, *kernel), 5).astype(weights))
    if plan.layout is Layout.NHWC:
        plan.tensors[taps] = replace(plan.tensors[taps], strides=(1, kernel[1] * channels, channels))
    added = -1 if bias is None else plan.constant(random_image((channels,), 6).astype(bias))
    y = plan.image((batch, channels, *size), border, gap=0)
    names = {"kernel": kernel, "stride": stride, "dilation": dilation}
    words |= {f"{name}_{axis}": pair[n] for name, pair in names.items() for n, axis in enumerate("hw")}
    words |= {"pad_top": frame.top, "pad_left": frame.left}
    plan.run_step(Op.DWCONV, [x, taps, added], y, **words)
    plan.show(y)
    return y


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_tiles_of_every_size(stride, kernel, layout):
    pad = kernel // 2
    plan = ImagePlan(layout)
    for number, width in enumerate(WIDTHS):
        height = (1, 2, 3, 4, 5, 6, 7, 9)[number % 8] * stride
        x = plan.filled(random_image((1, 3, height, width * stride), number), Border(pad, pad, pad, pad))
        depthwise(plan, x, (kernel, kernel), (stride, stride))
    agree(plan)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("border", [Border(), Border(0, 0, 1, 1), Border(0, 1, 0, 0), Border(1, 0, 0, 0)])
def test_overrunning_rows_stay_inside_their_planes(border, layout):
    # Images of 16 rows without slack: where a plane has no room behind its last row, single pixels must do.
    plan = ImagePlan(layout)
    for width in (1, 2, 3, 4, 5, 7, 9, 13):
        x = plan.filled(random_image((2, 2, 16, width)), Border(1, 1, 1, 1))
        depthwise(plan, x, (3, 3), border=border)
    agree(plan)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 3), (5, 3), (7, 7)])
def test_windows_of_any_kind(kernel, layout):
    plan = ImagePlan(layout, gap=1, pixel=2)
    for stride, dilation in [((1, 1), (2, 2)), ((2, 2), (1, 2)), ((3, 3), (1, 1)), ((1, 2), (1, 1)), ((2, 1), (3, 1))]:
        x = plan.filled(random_image((2, 5, 19, 21)), Border(3, 2, 1, 3))
        depthwise(plan, x, kernel, stride, dilation)
    agree(plan)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 7, 8, 9, 15, 17])
def test_channels_around_vectors(channels, layout):
    plan = ImagePlan(layout, pixel=1)
    for stride in (1, 2):
        x = plan.filled(random_image((2, channels, 6, 7)), Border(1, 1, 1, 1))
        depthwise(plan, x, (3, 3), (stride, stride), bias=None)
        depthwise(plan, x, (3, 3), (stride, stride), bias=np.float16, weights=np.float16)
        depthwise(plan, x, (3, 2), (stride, stride), bias=np.float16, weights=np.float16)
    agree(plan)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("activation", Activation)
def test_every_activation(activation, layout):
    plan = ImagePlan(layout)
    words = {"activation": int(activation), "clamp_low": -0.5, "clamp_high": 0.75}
    x = plan.filled(3 * random_image((2, 5, 7, 9)), Border(1, 1, 1, 1))
    depthwise(plan, x, (3, 3), **words)
    depthwise(plan, x, (2, 2), **words)
    a = plan.filled(3 * random_image((2, 5, 7, 9)))
    y = plan.image((2, 5, 7, 9), SURROUND)
    plan.show(plan.run_step(Op.ADD, [a, plan.filled(random_image((2, 5, 7, 9), 2))], y, **words))
    plan.show(plan.run_step(Op.ACTIVATION, [a], plan.image((2, 5, 7, 9), SURROUND), **words))
    means = plan.output("mean", (2, 5))
    plan.run_step(Op.MEAN, [x], means, **words)
    agree(plan)


WINDOWS = [
    {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1)},
    {"kernel": (2, 2), "stride": (2, 2), "pad": (0, 0)},
    {"kernel": (3, 3), "stride": (1, 1), "pad": (1, 1)},
    {"kernel": (2, 3), "stride": (1, 2), "pad": (1, 0)},
    {"kernel": (3, 2), "stride": (3, 3), "pad": (2, 1)},
    {"kernel": (3, 3), "stride": (2, 1), "pad": (2, 4), "dilation": (2, 3)},
    {"kernel": (5, 4), "stride": (2, 2), "pad": (2, 2)},
    {"kernel": (1, 1), "stride": (2, 2), "pad": (0, 0)},
    {"kernel": (2, 3000), "stride": (1, 1), "pad": (0, 2500), "dilation": (1, 2)},
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("op", [Op.MAX_POOL, Op.AVG_POOL])
def test_pools(op, window, layout):
    plan = ImagePlan(layout, gap=1, pixel=1)
    dilation = window.get("dilation", (1, 1))
    for number, size in enumerate([(5, 4), (6, 7), (7, 8), (9, 17), (8, 31), (13, 34)]):
        shape = (2, 1 + 2 * number, *size)
        words = {
            f"{name}_{axis}": (window | {"dilation": dilation})[name][n]
            for name in ("kernel", "stride", "dilation")
            for n, axis in enumerate("hw")
        }
        words |= {"pad_top": window["pad"][0], "pad_left": window["pad"][1]}
        lengths = []
        for n in range(2):
            # As many windows as begin inside the image, and hold a pixel of it.
            last = size[n] - 1 + window["pad"][n]
            lengths.append(last // window["stride"][n] + 1)
        if op is Op.AVG_POOL:
            words |= {"pad_bottom": 1, "pad_right": 2, "count_include_pad": number % 2}
        x = plan.filled(random_image(shape, number), Border(0, number % 2, 0, 0))
        plan.show(plan.run_step(op, [x], plan.image((*shape[:2], *lengths), SURROUND), **words))
    agree(plan)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pools_read_arrays_of_the_caller(layout):
    plan = ImagePlan(Layout.CHW)
    shape = (1, 3, 6, 7)
    plan.arrays["x"] = random_image(shape)
    x = plan.input("x", shape)
    strides = (126, 42, 7, 1) if layout is Layout.CHW else (126, 1, 21, 3)
    plan.tensors[x] = replace(plan.tensors[x], layout=layout, strides=strides)
    if layout is Layout.NHWC:
        plan.arrays["x"] = np.ascontiguousarray(plan.arrays["x"].transpose(0, 2, 3, 1))
    plan.layout = layout
    for op in (Op.MAX_POOL, Op.AVG_POOL, Op.ADAPTIVE_AVG_POOL):
        words = {} if op is Op.ADAPTIVE_AVG_POOL else {"kernel_h": 2, "kernel_w": 2, "stride_w": 2}
        size = (4, 3) if op is Op.ADAPTIVE_AVG_POOL else (5, 3)
        plan.show(plan.run_step(op, [x], plan.image((1, 3, *size), SURROUND), **words))
    agree(plan)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_means_and_adaptive_pools(layout):
    plan = ImagePlan(layout, pixel=1)
    for number, size in enumerate([(1, 1), (1, 5), (7, 7), (4, 4), (3, 16), (14, 14), (9, 35)]):
        channels = (1, 3, 4, 5, 8, 9, 17)[number]
        border = Border(1, 1, 1, 1) if number % 2 else Border()
        x = plan.filled(2 + random_image((2, channels, *size)), border)
        plan.run_step(Op.MEAN, [x], plan.output(f"mean{number}", (2, channels, 1, 1)[: 2 + number % 3]))
        for windows in ((1, 1), (2, 3), (7, 7)):
            y = plan.image((2, channels, *windows), SURROUND)
            plan.show(plan.run_step(Op.ADAPTIVE_AVG_POOL, [x], y))
    agree(plan)

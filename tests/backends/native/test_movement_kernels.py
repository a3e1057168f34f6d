"""Sums, products, softmax, copies, pads and phase splits of the C core against the reference."""

from dataclasses import replace

import numpy as np
import pytest
from image_plan import ImagePlan, agree, random_image, supported_variants
from tiny_plan import TinyPlan
from variant_session import variant_session

from edge_sparse import Session
from edge_sparse.plan import Border, Layout, Op, Storage, row_major_strides

LAYOUTS = [Layout.CHW, Layout.NHWC]
FRAME = Border(1, 2, 0, 1)


def other_operand(plan, shape, kind):
    """Return b of a binary step: an image, numbers per channel, or one number."""
    batch, channels = shape[:2]
    if kind == "same":
        return plan.filled(random_image(shape, 3), Border(0, 1, 1, 0))
    if kind == "row":
        return plan.filled(random_image(shape, 3), FRAME)
    sizes = {"channel": (1, channels, 1, 1), "gate": (batch, channels, 1, 1), "one": (1,), "none": ()}
    if kind == "half":
        return plan.constant(random_image((1, channels, 1, 1), 4).astype(np.float16))
    array = random_image(sizes[kind], 4)
    if kind == "channel":
        return plan.constant(array)
    plan.arrays[f"b{len(plan.tensors)}"] = array
    return plan.input(f"b{len(plan.tensors)}", sizes[kind])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["same", "row", "channel", "gate", "half", "one", "none"])
@pytest.mark.parametrize("op", [Op.ADD, Op.MUL])
def test_operands_of_images(op, kind, layout):
    for pixel in (0, 3):
        plan = ImagePlan(layout, pixel=pixel)
        for number, shape in enumerate([(1, 2, 1, 3), (2, 3, 4, 5), (1, 7, 9, 16), (2, 8, 3, 1), (1, 2, 80, 70)]):
            x = plan.filled(random_image(shape, number), FRAME)
            y = plan.image(shape, FRAME if number % 2 else Border(2, 1, 1, 1))
            plan.show(plan.run_step(op, [x, other_operand(plan, shape, kind)], y, activation=number % 2))
        agree(plan)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("which", [0, 1])
def test_results_in_place(which, layout):
    plan = ImagePlan(layout)
    operands = [plan.filled(random_image((2, 5, 6, 7), seed), FRAME) for seed in (1, 2)]
    plan.show(plan.run_step(Op.MUL, operands, operands[which], activation=6))
    plan.show(plan.run_step(Op.ACTIVATION, [operands[1 - which]], operands[1 - which], activation=7))
    agree(plan)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_slices_of_a_concatenation(layout):
    # The second slice is written first: what the first one writes must not touch it.
    plan = ImagePlan(layout)
    whole = plan.image((2, 11, 5, 6), FRAME)
    tensor = plan.tensors[whole]
    step = tensor.strides[1] * 4
    slices = []
    for first, channels in ((4, 7), (0, 4)):
        part = replace(tensor, shape=(2, channels, 5, 6), offset=tensor.offset + first * step)
        plan.tensors.append(part)
        slices.append(len(plan.tensors) - 1)
        x = plan.filled(random_image(part.shape, first), Border(1, 1, 1, 1))
        if first:
            words = {"kernel_h": 3, "kernel_w": 3, "pad_top": 1, "pad_left": 1}
            plan.run_step(Op.MAX_POOL, [x], slices[-1], **words)
        else:
            plan.run_step(Op.ACTIVATION, [x], slices[-1], activation=8)
    plan.show(whole)
    agree(plan)


def rows_plan(shape, gap=0):
    plan = ImagePlan(Layout.ROW_MAJOR)
    array = random_image(shape)
    plan.arrays["x"] = array
    strides = list(row_major_strides(shape))
    strides = [stride + gap * (axis == len(shape) - 2) for axis, stride in enumerate(strides)]
    for axis in range(len(shape) - 3, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    size = 4 * (sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1)
    x = plan.arena(shape)
    plan.tensors[x] = replace(plan.tensors[x], strides=tuple(strides), extent=(0, size))
    plan.bytes[Storage.ARENA] = -(-size // 64) * 64
    plan.step(Op.COPY, [plan.input("x", shape)], x)
    return plan, x


@pytest.mark.parametrize("gap", [0, 3])
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (2, 3, 4, 9), (4, 1031), (1, 9000), (2, 1, 2, 1, 3, 17)])
def test_row_major(shape, gap):
    plan, x = rows_plan(shape, gap if len(shape) > 1 else 0)
    half = plan.constant(random_image(shape, 2).astype(np.float16))
    plan.run_step(Op.SOFTMAX, [x], plan.output("softmax", shape))
    plan.run_step(Op.SOFTMAX, [half], plan.output("softmax_half", shape))
    plan.run_step(Op.ADD, [x, half], plan.output("sum", shape), activation=6)
    plan.run_step(Op.MUL, [half, x], plan.output("product", shape))
    plan.run_step(Op.ACTIVATION, [half], plan.output("activation", shape), activation=8)
    plan.run_step(Op.COPY, [half], plan.output("copy", (int(np.prod(shape)),)))
    agree(plan)


def test_softmax_of_extreme_rows():
    plan = ImagePlan(Layout.ROW_MAJOR)
    array = np.array([[-1e30, 0, 1e30, 5], [-90, -88, -80, 0], [3e38, 3e38, -3e38, 0]], np.float32)
    plan.arrays["x"] = array
    plan.run_step(Op.SOFTMAX, [plan.input("x", array.shape)], plan.output("y", array.shape))
    agree(plan)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("stride", [(1, 2), (2, 2), (3, 2), (2, 3), (1, 1)])
def test_phase_splits(stride, layout):
    plan = ImagePlan(layout, pixel=1)
    for number, size in enumerate([(1, 1), (4, 6), (5, 7), (7, 16), (6, 35), (3, 18)]):
        shape = (2, 1 + number, *size)
        rows, columns = (-(-n // s) for n, s in zip(size, stride, strict=True))
        y = plan.image((2, shape[1] * stride[0] * stride[1], rows, columns), FRAME)
        x = plan.filled(random_image(shape, number))
        plan.show(plan.run_step(Op.PHASE_SPLIT, [x], y, stride_h=stride[0], stride_w=stride[1]))
    agree(plan)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pads(layout):
    plan = ImagePlan(layout, gap=2)
    for top, left, bottom, right, value in [(1, 2, 3, 4, 1.5), (0, 0, 0, 0, 0), (0, 5, 2, 0, -2.25)]:
        x = plan.filled(random_image((2, 3, 4, 5)), FRAME)
        y = plan.image((2, 3, 4 + top + bottom, 5 + left + right), FRAME)
        plan.show(plan.run_step(Op.PAD, [x], y, pad_top=top, pad_left=left, value=value))
    agree(plan)


@pytest.mark.parametrize("source", LAYOUTS)
@pytest.mark.parametrize("target", [*LAYOUTS, Layout.ROW_MAJOR])
def test_copies_between_layouts(target, source):
    plan = ImagePlan(source, pixel=1)
    x = plan.filled(random_image((2, 3, 4, 5)), FRAME)
    shapes = [(2, 3, 4, 5), (2, 12, 5, 1), (1, 4, 5, 6), (2, 60, 1, 1), (3, 2, 10, 2)]
    for number, shape in enumerate(shapes):
        if target is Layout.ROW_MAJOR:
            plan.step(Op.COPY, [x], plan.output(f"rows{number}", shape if number else (8, 3, 5)))
            continue
        plan.layout = target
        plan.show(plan.step(Op.COPY, [x], plan.image(shape, FRAME)))
    agree(plan)


def test_tokens_of_a_run():
    plan = TinyPlan(6)
    x = plan.input("x", (6, 9))
    neutral = {"activation": 0, "clamp_low": 0.0, "clamp_high": 0.0}
    double = plan.step(Op.ADD, [x, x], plan.arena((6, 9), row=12), **neutral)
    plan.step(Op.COPY, [double], plan.output("copy", (6, 9)))
    plan.step(Op.MUL, [double, plan.constant(random_image((1,)))], plan.output("scaled", (6, 9)), **neutral)
    plan.step(Op.ACTIVATION, [double], plan.output("silu", (6, 9)), **(neutral | {"activation": 6}))
    plan.step(Op.SOFTMAX, [double], plan.output("softmax", (6, 9)))
    plan.step(Op.TAKE_LAST, [double], plan.output("last", (1, 9), symbolic=False))
    model = plan.model()
    reference = Session.from_model(model, backend="reference")
    for variant in supported_variants():
        with variant_session(model, variant, 3) as session:
            for tokens in (6, 1, 4, 2):
                array = {"x": random_image((tokens, 9), tokens)}
                expected, result = reference.run(array), session.run(array)
                for name, values in expected.items():
                    assert result[name].shape == values.shape
                    np.testing.assert_allclose(result[name], values, rtol=1e-5, atol=1e-6)

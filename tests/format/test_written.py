"""The search for what a tensor's readers find in the arena equals a slow twin, and does not take quadratic time."""

import time

import numpy as np
import pytest

from edge_sparse.errors import FileFormatError
from edge_sparse.format.assembly import assemble
from edge_sparse.format.footprint import footprint
from edge_sparse.format.reader import parse_model
from edge_sparse.format.spec import LIMITS, Section
from edge_sparse.format.written import Written
from edge_sparse.plan import Border, DType, Layout, Model, Op, Plan, Step, Storage, Tensor, row_major_strides


class SlowWritten:
    """One result after the other, from the latest back, with sets of what is covered."""

    def __init__(self):
        self.results = []

    def add(self, tensor):
        self.results.append(tensor)

    def problem(self, tensor):
        missing = units(tensor, tensor)
        for result in reversed(self.results):
            if footprint(result).apart(footprint(tensor)):
                continue
            if not together(result, tensor):
                return "STEP_OVERWRITTEN"
            missing -= units(result, tensor)
            if not missing:
                return ""
        return "STEP_UNWRITTEN"


def units(tensor, whole):
    """The channels of an image, counted in another; the bytes from first to last element of other tensors."""
    size = tensor.dtype.numpy.itemsize
    if tensor.layout is Layout.ROW_MAJOR:
        last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
        return set(range(tensor.offset, tensor.offset + (last + 1) * size))
    first = (tensor.offset - whole.offset) // (tensor.strides[1] * size)
    return set(range(first, first + tensor.shape[1]))


def together(one, other):
    if (one.layout, one.dtype) != (other.layout, other.dtype):
        return False
    if one.layout is Layout.ROW_MAJOR:
        return True
    if (one.strides, one.border, one.shape[0], one.shape[2:]) != (
        other.strides,
        other.border,
        other.shape[0],
        other.shape[2:],
    ):
        return False
    distance, size = abs(one.offset - other.offset), one.dtype.numpy.itemsize
    if one.layout is Layout.NHWC:
        return distance < one.strides[3] * size
    return distance % (one.strides[1] * size) == 0


def random_tensor(random):
    """A slice of channels, rows or bytes at one of few places, so that most of them meet."""
    layout = Layout(int(random.integers(3)))
    dtype = DType.F32 if random.random() < 0.9 else DType.F16
    size, batch = dtype.numpy.itemsize, int(random.integers(1, 3))
    first, count = sorted(random.choice(7, 2, replace=False).tolist())
    count -= first
    base = 512 + 1024 * int(random.integers(2)) + 64 * int(random.random() < 0.1)
    if layout is Layout.CHW:
        plane = int(random.choice([32, 32, 48]))
        border = Border(0, 1, 0, 1) if random.random() < 0.2 else Border()
        offset = base + first * plane * size
        return Tensor(
            "", dtype, (batch, count, 2, 4), layout, offset=offset, strides=(6 * plane, plane, 6, 1), border=border
        )
    if layout is Layout.NHWC:
        pixel = int(random.choice([6, 6, 8]))
        strides = (8 * pixel, 1, 4 * pixel, pixel)
        return Tensor("", dtype, (batch, count, 2, 4), layout, offset=base + first * size, strides=strides)
    if random.random() < 0.5:
        return Tensor("", dtype, (batch, 3, count), layout, offset=base + first * size, strides=(24, 8, 1))
    return Tensor("", dtype, (8 * count,), layout, offset=base + 8 * first * size, strides=(1,))


@pytest.mark.parametrize("seed", range(60))
def test_it_finds_what_the_slow_twin_finds(seed):
    random = np.random.default_rng(seed)
    fast, slow, answers = Written(), SlowWritten(), set()
    for _ in range(int(random.integers(1, 150))):
        for _ in range(3):
            tensor = random_tensor(random)
            expected = slow.problem(tensor)
            assert fast.problem(tensor) == expected
            answers.add(expected)
        # Slices one behind the other, so that wholes become complete.
        tensor = random_tensor(random)
        fast.add(tensor)
        slow.add(tensor)
        assert fast.problem(tensor) == ""
    assert answers
    if seed == 59:
        assert answers == {"", "STEP_OVERWRITTEN", "STEP_UNWRITTEN"}


def boundary(name, storage, shape):
    return Tensor(name, DType.F32, shape, storage=storage, strides=row_major_strides(shape), extent=(0, 4 * shape[0]))


def activation(x, y):
    return Step(Op.ACTIVATION, "", (x,), (y,), {"activation": 0, "clamp_low": 0.0, "clamp_high": 0.0})


def many_slices(count, reads):
    """Slices of one row, then wholes that are looked for in all of them."""
    x, y = boundary("x", Storage.INPUT, (1,)), boundary("y", Storage.OUTPUT, (count,))
    other = -(-4 * count // 64) * 64
    slices = [Tensor("", DType.F32, (1,), offset=4 * i, strides=(1,), extent=(4 * i, 4 * i + 4)) for i in range(count)]
    whole, copy = (
        Tensor("", DType.F32, (count,), offset=at, strides=(1,), extent=(at, at + 4 * count)) for at in (0, other)
    )
    steps = [activation(0, 2 + number) for number in range(count)]
    steps += [activation(2 + count, 3 + count)] * (reads - 1) + [activation(2 + count, 1)]
    return (x, y, *slices, whole, copy), steps, 2 * other


def interleaved(count, reads):
    """Channels of one NHWC image: all share their range of bytes, none shares a byte."""
    shape = (1, 1, 1, 2)
    x = Tensor("x", DType.F32, shape, Layout.NHWC, Storage.INPUT, strides=(2, 1, 2, 1), extent=(0, 8))
    y = Tensor("y", DType.F32, shape, Layout.NHWC, Storage.OUTPUT, strides=(2, 1, 2, 1), extent=(0, 8))
    strides, end = (2 * count, 1, 2 * count, count), 8 * count
    channels = [
        Tensor("", DType.F32, shape, Layout.NHWC, offset=4 * i, strides=strides, extent=(0, end)) for i in range(count)
    ]
    steps = [activation(0, 2 + number) for number in range(count)]
    steps += [activation(2, 2 + number % count) for number in range(1, reads)] + [activation(2, 1)]
    return (x, y, *channels), steps, -(-end // 64) * 64


@pytest.mark.parametrize("make", [many_slices, interleaved])
def test_a_hostile_plan_of_many_steps_is_validated_in_time(make):
    half = LIMITS[Section.STEPS] // 2
    tensors, steps, arena = make(half, half)
    data = assemble(Model((Plan("main", tensors, tuple(steps), (0,), (1,), arena),)))
    start = time.process_time()
    assert len(parse_model(data).plan().steps) == 2 * half
    # It takes 2 s; comparing each with each in Python would take minutes.
    assert time.process_time() - start < 20


def test_more_steps_are_refused():
    tensors, steps, arena = many_slices(4, LIMITS[Section.STEPS] - 3)
    with pytest.raises(FileFormatError, match="SECTION_SIZE"):
        parse_model(assemble(Model((Plan("main", tensors, tuple(steps), (0,), (1,), arena),))))

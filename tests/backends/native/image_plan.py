"""Plans of one step on images whose borders, gaps, pixel strides and neighbours in memory a test chooses."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from variant_session import VARIANTS, variant_session

from edge_sparse import Session
from edge_sparse.backends.native.library import load_library
from edge_sparse.errors import BackendError
from edge_sparse.format.footprint import footprint, frame_of
from edge_sparse.format.ops import OPS
from edge_sparse.plan import Border, DType, Layout, Op, Storage, Tensor, row_major_strides

sys.path.insert(0, str(Path(__file__).parents[1]))
from tiny_plan import TinyPlan

__all__ = ["ImagePlan", "agree", "random_image", "supported_variants"]

_GUARD = 32
NO_BORDER = Border()


class ImagePlan(TinyPlan):
    """A plan whose arena is full of NaN at first, and whose images have guards on both sides that must not change.

    Parameters
    ----------
    layout : Layout
        Of all images.
    gap, pixel : int
        Pixels between rows beyond what the border needs, and elements between pixels beyond the channels (NHWC).
    """

    def __init__(self, layout: Layout, gap: int = 0, pixel: int = 0) -> None:
        super().__init__(0)
        self.layout, self.gap, self.pixel = layout, gap, pixel
        self.arrays: dict[str, np.ndarray] = {}
        self.guards: list[int] = []

    def strides(self, shape, border: Border, gap: int, pixel: int) -> tuple[int, ...]:
        _, channels, height, width = shape
        row = width + max(border.left, border.right) + gap
        if self.layout is Layout.NHWC:
            pixel += channels
            whole = (height - 1 + border.top + border.bottom) * row + width + border.left + border.right
            return (whole * pixel, 1, row * pixel, pixel)
        tensor = Tensor("", DType.F32, shape, self.layout, border=border, strides=(1, 1, row, 1))
        frame = frame_of(tensor)
        return (channels * (frame.before + frame.owned), frame.before + frame.owned, row, 1)

    def image(self, shape, border: Border = NO_BORDER, gap: int | None = None, guards: bool = True) -> int:
        """Add an image in the arena; its guards are checked when the plan ends."""
        strides = self.strides(shape, border, self.gap if gap is None else gap, self.pixel)
        tensor = Tensor("", DType.F32, tuple(shape), self.layout, strides=strides, border=border)
        return self.place(tensor, guards)

    def place(self, tensor: Tensor, guards: bool = True) -> int:
        """Lay a tensor into the arena, right behind what is there."""
        if guards:
            self.guard()
        print_of = footprint(replace(tensor, offset=0))
        offset = self.bytes[Storage.ARENA] - print_of.first
        end = offset + print_of.end
        self.tensors.append(replace(tensor, offset=offset, extent=(offset + print_of.first, end)))
        self.bytes[Storage.ARENA] = end
        number = len(self.tensors) - 1
        if guards:
            self.guard()
        return number

    def guard(self) -> None:
        number = self.place(Tensor("", DType.F32, (_GUARD,), strides=(1,)), guards=False)
        name = f"guard{number}"
        self.arrays[name] = np.arange(number, number + _GUARD, dtype=np.float32)
        self.step(Op.COPY, [self.input(name, (_GUARD,))], number)
        self.guards.append(number)

    def filled(self, array, border: Border = NO_BORDER, gap: int | None = None) -> int:
        """Add an image with the content of an array."""
        name = f"x{len(self.tensors)}"
        self.arrays[name] = array
        source = self.input(name, array.shape)
        return self.step(Op.COPY, [source], self.image(array.shape, border, gap))

    def run_step(self, op: Op, inputs, y: int, **words) -> int:
        """Add a step with the attributes given; the others have their neutral values."""
        neutral = {name: 0.0 if kind == "f" else 0 for name, kind in OPS[op].attributes}
        neutral |= {n: 1 for n in neutral if n.split("_")[0] in ("kernel", "stride", "dilation")}
        return self.step(op, inputs, y, **(neutral | words))

    def show(self, y: int) -> None:
        """Make an image an output, and what a window over all of its border finds another."""
        tensor = self.tensors[y]
        self.step(Op.COPY, [y], self.output(f"y{y}", tensor.shape))
        border, channels = tensor.border, tensor.shape[1]
        if tensor.layout is Layout.ROW_MAJOR or not border:
            return
        size = (border.top + border.bottom + 1, border.left + border.right + 1)
        taps = np.random.default_rng(1).standard_normal((channels, *size)).astype(np.float32)
        weight = self.constant(taps)
        if self.layout is Layout.NHWC:
            self.tensors[weight] = replace(self.tensors[weight], strides=(1, size[1] * channels, channels))
        z = self.image(tensor.shape)
        words = {"kernel_h": size[0], "kernel_w": size[1], "pad_top": border.top, "pad_left": border.left}
        self.run_step(Op.DWCONV, [y, weight, -1], z, **words)
        self.step(Op.COPY, [z], self.output(f"z{y}", tensor.shape))

    def finish(self):
        """Return the model; guards are outputs, and NaN is the first thing in the arena."""
        for number in self.guards:
            self.step(Op.COPY, [number], self.output(f"same{number}", (_GUARD,)))
        size = -(-self.bytes[Storage.ARENA] // 64) * 64
        self.bytes[Storage.ARENA] = size
        if not size:
            return self.model()
        shape = (size // 4,)
        self.arrays["nothing"] = np.full(shape, np.nan, np.float32)
        everything = Tensor("", DType.F32, shape, strides=row_major_strides(shape), extent=(0, size))
        self.tensors.append(everything)
        self.step(Op.COPY, [self.input("nothing", shape)], len(self.tensors) - 2)
        self.steps.insert(0, self.steps.pop())
        return self.model()


def random_image(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def supported_variants() -> list[str]:
    """Return the names of the kernel variants that this processor has; skip the test without a library."""
    try:
        mask = load_library().es_cpu_variants()
    except BackendError as error:
        pytest.skip(error.args[0])
    return [name for name, bit in VARIANTS.items() if mask & bit]


def agree(plan: ImagePlan, threads: int = 2, tolerance: float = 1e-5) -> None:
    """Compare all outputs of a plan with the reference, on every variant and twice; guards must be as they were."""
    model = plan.finish()
    expected = Session.from_model(model, backend="reference").run(plan.arrays)
    for variant in supported_variants():
        with variant_session(model, variant, threads) as session:
            for _ in range(2):
                _compare(session.run(plan.arrays), expected, plan.arrays, tolerance, variant)


def _compare(result, expected, arrays, tolerance, variant) -> None:
    for name, array in expected.items():
        if name.startswith("same"):
            np.testing.assert_array_equal(result[name], arrays["guard" + name[4:]], name)
            continue
        assert np.isfinite(array).all()
        close = {"rtol": 1e-4, "atol": 2e-6 * np.abs(array).max(), "err_msg": f"{name} {variant}"}
        np.testing.assert_allclose(result[name], array, **close)
        assert np.linalg.norm(result[name] - array) <= tolerance * np.linalg.norm(array) + 1e-30

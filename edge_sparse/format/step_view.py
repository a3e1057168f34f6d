"""A step with its tensors and words at hand, and the questions that the rules of all operations ask."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from edge_sparse.errors import FileFormatError
from edge_sparse.format.spec import WINDOW_LIMIT
from edge_sparse.plan import Activation, DType, Layout, SparseMatrix, Step, Storage, Tensor

__all__ = ["StepView"]

_AGAIN = "convert the model again"


@dataclass(frozen=True)
class StepView:
    """One step of a plan whose tensor numbers are known to be in range.

    Methods called ``need_*`` raise ``FileFormatError`` when the step breaks a rule.
    """

    step: Step
    tensors: Sequence[Tensor]
    matrices: Sequence[SparseMatrix]
    arena_bytes: int

    def fail(self, code: str, problem: str) -> FileFormatError:
        """Return the error that names this step."""
        return FileFormatError(code, f"step {self.step.name} ({self.step.op.name}): {problem}", _AGAIN)

    def input(self, index: int) -> Tensor | None:
        """Return an input, None if it is absent."""
        number = self.step.inputs[index] if index < len(self.step.inputs) else -1
        return None if number < 0 else self.tensors[number]

    def needed(self, index: int) -> Tensor:
        """Return an input that must be there."""
        tensor = self.input(index)
        if tensor is None:
            raise self.fail("STEP_INPUT_COUNT", f"input {index} is absent")
        return tensor

    @property
    def y(self) -> Tensor:
        """The output."""
        return self.tensors[self.step.outputs[0]]

    def word(self, name: str) -> int:
        """Return an integer attribute."""
        return int(self.step.attributes[name])

    def need(self, condition: bool, code: str, problem: str) -> None:
        """Raise unless the condition holds."""
        if not condition:
            raise self.fail(code, problem)

    def need_word(self, name: str, low: int, high: int) -> int:
        """Return an integer attribute inside its range."""
        value = self.word(name)
        self.need(low <= value <= high, "STEP_ATTRIBUTE", f"{name} is {value}, not {low} to {high}")
        return value

    def need_number(self, name: str, *, finite: bool = True, low: float = -math.inf) -> float:
        """Return a float attribute that is a number and not below ``low``."""
        value = float(self.step.attributes[name])
        fits = math.isfinite(value) if finite else not math.isnan(value)
        self.need(fits and value >= low, "STEP_ATTRIBUTE", f"{name} is {value}")
        return value

    def need_activation(self) -> None:
        """Check the words of an activation."""
        kind = self.need_word("activation", 0, max(Activation))
        low = self.need_number("clamp_low", finite=False)
        high = self.need_number("clamp_high", finite=False)
        if kind == Activation.CLAMP:
            self.need(low <= high, "STEP_ATTRIBUTE", f"clamp_low {low} exceeds clamp_high {high}")

    def need_window(self) -> None:
        """Check the range of the words of a window."""
        for axis in "hw":
            for name in ("kernel", "stride", "dilation"):
                self.need_word(f"{name}_{axis}", 1, WINDOW_LIMIT)
        for name in ("pad_top", "pad_left"):
            self.need_word(name, 0, WINDOW_LIMIT)

    def need_float(self, tensor: Tensor, name: str) -> None:
        """Check that a tensor holds float32; constants may hold float16."""
        allowed = (DType.F32, DType.F16) if tensor.storage is Storage.CONSTANT else (DType.F32,)
        self.need(tensor.dtype in allowed, "STEP_DTYPE", f"{name} holds {tensor.dtype.name}")

    def need_layout(self, tensor: Tensor, name: str, layouts: Collection[Layout]) -> None:
        """Check the layout of an operand."""
        self.need(tensor.layout in layouts, "STEP_LAYOUT", f"{name} has layout {tensor.layout.name}")

    def need_storage(self, tensor: Tensor, name: str, storages: Collection[Storage]) -> None:
        """Check the storage of an operand."""
        self.need(tensor.storage in storages, "STEP_STORAGE", f"{name} lies in {tensor.storage.name}")

    def need_shape(self, tensor: Tensor, name: str, shape: Sequence[int]) -> None:
        """Check the shape of an operand."""
        self.need(tensor.shape == tuple(shape), "STEP_SHAPE", f"{name} has shape {tensor.shape}, not {tuple(shape)}")

    def need_same_symbol(self, tensor: Tensor, name: str) -> None:
        """Check that an operand and the output are both as long as the symbol, or both are not."""
        same = tensor.symbol_axis == self.y.symbol_axis
        self.need(same, "STEP_SYMBOL", f"{name} and the output do not both follow the symbol")

    def need_even_rows(self, tensor: Tensor, name: str) -> None:
        """Check a row-major operand: elements of the last axis side by side, rows at one distance."""
        self.need_layout(tensor, name, (Layout.ROW_MAJOR,))
        self.need(len(tensor.shape) > 0, "STEP_SHAPE", f"{name} is a single number")
        several = len(tensor.shape) > 1 or tensor.symbol_axis < 0
        self.need(several, "STEP_SYMBOL", f"{name} is a single row as long as the symbol")
        self.need(tensor.strides[-1] == 1, "STEP_STRIDES", f"{name} has gaps between the elements of a row")
        single = True
        for axis in range(len(tensor.shape) - 2):
            # Axes of length 1 step nowhere if no longer one is around them.
            single = single and tensor.shape[axis] == 1
            even = tensor.strides[axis] == tensor.shape[axis + 1] * tensor.strides[axis + 1]
            self.need(even or single, "STEP_STRIDES", f"the rows of {name} lie at uneven distances")

    def need_vector(self, tensor: Tensor, name: str, length: int) -> None:
        """Check a constant of ``length`` numbers, whatever its axes."""
        self.need_storage(tensor, name, (Storage.CONSTANT,))
        self.need_float(tensor, name)
        fits = math.prod(tensor.shape) == length and max(tensor.shape, default=1) == length
        self.need(fits, "STEP_SHAPE", f"{name} has shape {tensor.shape}, not {length} numbers")

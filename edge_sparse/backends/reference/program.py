"""The reference backend behind the interface that all backends share."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.base import Arrays, StepChoice
from edge_sparse.backends.reference.executor import run_plan, run_steps
from edge_sparse.plan import Layout, Model, Plan

__all__ = ["ReferenceProgram"]


class ReferenceProgram:
    """A plan as it is; the NumPy functions need no preparation."""

    def __init__(self, model: Model, plan: Plan) -> None:
        self.model, self.plan = model, plan

    @property
    def choices(self) -> list[StepChoice]:
        """One NumPy function per step."""
        choices = []
        for index, step in enumerate(self.plan.steps):
            matrix = step.attributes.get("matrix", -1)
            density = self.model.matrices[int(matrix)].density if matrix >= 0 else None
            choices.append(StepChoice(index, step.name, step.op, "numpy", density, "reference"))
        return choices

    def executor(self, threads: int) -> ReferenceExecutor:
        """Make the memory of a new session; it always uses one thread."""
        return ReferenceExecutor(self.model, self.plan)


class ReferenceExecutor:
    """State tensors of one session."""

    def __init__(self, model: Model, plan: Plan) -> None:
        self._model, self._plan = model, plan
        self._state = np.zeros(model.state_bytes, np.uint8)

    @property
    def state(self) -> npt.NDArray[np.uint8]:
        """The memory that lives from run to run."""
        return self._state

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run the plan; outputs in memory order."""
        outputs = run_plan(self._model, self._plan, inputs, self._state)
        layouts = {self._plan.tensors[n].name: self._plan.tensors[n].layout for n in self._plan.outputs}
        return {
            name: np.ascontiguousarray(value.transpose(0, 2, 3, 1)) if layouts[name] is Layout.NHWC else value
            for name, value in outputs.items()
        }

    def time_steps(self, inputs: Arrays, repeats: int) -> list[list[float]]:
        """Run and time every step."""
        times: list[list[float]] = [[] for _ in self._plan.steps]
        for _ in range(repeats):
            before = time.perf_counter()
            for index, _memory in enumerate(run_steps(self._model, self._plan, inputs, self._state)):
                now = time.perf_counter()
                times[index].append(now - before)
                before = now
        return times

    def close(self) -> None:
        """Nothing to free."""

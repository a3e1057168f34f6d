"""Runs a plan step by step in NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.reference.memory import Memory
from edge_sparse.backends.reference.operations import OPERATIONS
from edge_sparse.backends.run_checks import RunChecks
from edge_sparse.errors import InputError
from edge_sparse.plan import Model, Plan

__all__ = ["run_plan", "run_steps"]


def run_plan(
    model: Model,
    plan: Plan,
    inputs: Mapping[str, npt.NDArray[np.generic]],
    state: npt.NDArray[np.uint8] | None = None,
) -> dict[str, npt.NDArray[np.generic]]:
    """Run a plan once and return its outputs by name, in their logical shapes.

    Inputs are dense arrays in memory order: an input whose strides say NHWC takes an (N, H, W, C) array. ``state``
    (``model.state_bytes`` bytes, zeros at first) keeps the state tensors from run to run.
    """
    for memory in run_steps(model, plan, inputs, state):
        last = memory
    return {plan.tensors[number].name: np.array(last.view(plan.tensors[number])) for number in plan.outputs}


def run_steps(
    model: Model,
    plan: Plan,
    inputs: Mapping[str, npt.NDArray[np.generic]],
    state: npt.NDArray[np.uint8] | None = None,
) -> Iterator[Memory]:
    """Run a plan, yielding its memory after every step."""
    names = {plan.tensors[number].name for number in plan.inputs}
    if set(inputs) != names:
        raise InputError("INPUT_NAME", f"inputs are {sorted(inputs)}, the model has {sorted(names)}", "rename them")
    if state is None:
        state = np.zeros(model.state_bytes, np.uint8)
    arrays = {name: np.ascontiguousarray(inputs[name]) for name in names}
    memory = Memory(plan, state, arrays, RunChecks(model, plan).tokens(arrays))
    for step in plan.steps:
        operands = [None if number < 0 else plan.tensors[number] for number in step.inputs]
        target = plan.tensors[step.outputs[0]]
        result = OPERATIONS[step.op](memory, model, step, operands[0], target, *operands[1:])
        memory.write(target, np.array(result))
        yield memory

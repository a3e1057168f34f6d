"""What the numbers in a run's inputs must satisfy before any kernel sees them: token ids and positions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import InputError
from edge_sparse.plan import Model, Op, Plan, Step

__all__ = ["check_numbers", "symbol_length"]

Arrays = Mapping[str, npt.NDArray[Any]]
#: Kernels count positions in 32 bits.
_LAST_POSITION = (1 << 31) - 1


def symbol_length(plan: Plan, arrays: Arrays) -> int:
    """Return how long the axes of the plan's symbol are in this run: as long as the inputs say, else the maximum."""
    followers = [plan.tensors[number] for number in plan.inputs if plan.tensors[number].symbol_axis >= 0]
    lengths = {tensor.name: arrays[tensor.name].shape[tensor.symbol_axis] for tensor in followers}
    if len(set(lengths.values())) > 1:
        raise InputError("INPUT_SYMBOL", f"inputs disagree about {plan.symbol}: {lengths}", "pass one length")
    return int(next(iter(lengths.values()), max(1, plan.symbol_max)))


def check_numbers(model: Model, plan: Plan, arrays: Arrays, tokens: int) -> None:
    """Check token ids against the vocabulary, and positions against the caches.

    Raises
    ------
    InputError
        ``TOKEN_RANGE`` or ``POSITION_RANGE``.
    """
    for step in plan.steps:
        if step.op is Op.EMBEDDING:
            _check_ids(model, plan, step, arrays)
        elif step.op in _POSITIONS:
            _check_position(plan, step, arrays, tokens)


#: Which input of an op is the position, and which one a cache (-1: none).
_POSITIONS = {Op.ROPE: (1, -1), Op.ATTENTION: (5, 3), Op.DELTA_ATTENTION: (5, 4)}


def _check_ids(model: Model, plan: Plan, step: Step, arrays: Arrays) -> None:
    name = plan.tensors[step.inputs[0]].name
    table = step.inputs[1] if len(step.inputs) > 1 else -1
    vocabulary = plan.tensors[table].shape[0] if table >= 0 else model.matrices[int(step.attributes["matrix"])].rows
    numbers = arrays[name]
    wrong = (numbers < 0) | (numbers >= vocabulary)
    if wrong.any():
        message = f"{name} holds token {int(numbers[wrong][0])} of a vocabulary of {vocabulary}"
        raise InputError("TOKEN_RANGE", message, "check the tokenizer")


def _check_position(plan: Plan, step: Step, arrays: Arrays, tokens: int) -> None:
    position_input, cache_input = _POSITIONS[step.op]
    name = plan.tensors[step.inputs[position_input]].name
    position = int(np.asarray(arrays[name]).reshape(-1)[0])
    if position < 0:
        raise InputError("POSITION_RANGE", f"{name} is {position}", "count positions from 0")
    capacity = plan.tensors[step.inputs[cache_input]].shape[0] if cache_input >= 0 else _LAST_POSITION
    if position + tokens > capacity:
        message = f"{tokens} tokens at position {position} exceed the {capacity} of the cache"
        raise InputError("POSITION_RANGE", message, "start again, or convert with a larger context")

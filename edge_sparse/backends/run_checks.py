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


def check_numbers(model: Model, plan: Plan, arrays: Arrays, tokens: int, state: npt.NDArray[np.uint8]) -> None:
    """Check token ids against the vocabulary, and positions and windows against the caches.

    Raises
    ------
    InputError
        ``TOKEN_RANGE``, ``POSITION_RANGE`` or ``WINDOW_RANGE``.
    """
    for step in plan.steps:
        if step.op is Op.EMBEDDING:
            _check_ids(model, plan, step, arrays)
        elif step.op in _POSITIONS:
            _check_position(plan, step, arrays, tokens)
        if step.op is Op.DELTA_ATTENTION:
            _check_window(plan, step, arrays, tokens, state)


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


def _check_window(plan: Plan, step: Step, arrays: Arrays, tokens: int, state: npt.NDArray[np.uint8]) -> None:
    """Check the window against the room for exact keys, and the position against the tokens that were stored."""
    numbers, exact, marks = (plan.tensors[step.inputs[index]] for index in (5, 6, 7))
    position, window = (int(number) for number in np.asarray(arrays[numbers.name]).reshape(-1))
    if window < 1:
        raise InputError("WINDOW_RANGE", f"the window is {window} tokens", "ask for at least 1")
    room = exact.shape[0] - 1 - int(step.attributes["sinks"])
    needed = position % window + tokens
    if needed > room:
        message = f"a window of {window} tokens needs {needed} exact keys, there is room for {room}"
        raise InputError("WINDOW_RANGE", message, "make the model with a larger window")
    stored = int(state[marks.offset : marks.offset + 4].view("<i4")[0])
    if position > stored:
        message = f"position {position} leaves tokens out: {stored} are stored"
        raise InputError("POSITION_RANGE", message, "go on from a position that was reached")

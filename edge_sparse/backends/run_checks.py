"""What the numbers in a run's inputs must satisfy before any kernel sees them: token ids and positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import InputError
from edge_sparse.plan import Model, Op, Plan, Step

__all__ = ["RunChecks"]

Arrays = Mapping[str, npt.NDArray[Any]]
#: Kernels count positions in 32 bits.
_LAST_POSITION = (1 << 31) - 1
#: Which input of an op is the position, and which one a cache (-1: none).
_POSITIONS = {Op.ROPE: (1, -1), Op.ATTENTION: (5, 3), Op.DELTA_ATTENTION: (5, 4)}


@dataclass(frozen=True)
class _Window:
    """What a step of delta attention has room for: exact keys, and where its state counts the tokens stored."""

    name: str
    room: int
    marks: int


class RunChecks:
    """The checks of a plan, found once: a run of a small network takes 25 microseconds, a walk over its steps seven."""

    def __init__(self, model: Model, plan: Plan) -> None:
        self._symbol = plan.symbol
        self._most = max(1, plan.symbol_max)
        ports = [plan.tensors[number] for number in plan.inputs]
        self._followers = {port.name: port.symbol_axis for port in ports if port.symbol_axis >= 0}
        self._vocabularies: dict[str, int] = {}
        self._capacities: dict[str, int] = {}
        windows = []
        for step in plan.steps:
            if step.op is Op.EMBEDDING:
                _lower(self._vocabularies, plan.tensors[step.inputs[0]].name, _vocabulary(model, plan, step))
            elif step.op in _POSITIONS:
                position, cache = (step.inputs[index] if index >= 0 else -1 for index in _POSITIONS[step.op])
                capacity = plan.tensors[cache].shape[0] if cache >= 0 else _LAST_POSITION
                _lower(self._capacities, plan.tensors[position].name, capacity)
            if step.op is Op.DELTA_ATTENTION:
                numbers, exact, marks = (plan.tensors[step.inputs[index]] for index in (5, 6, 7))
                room = exact.shape[0] - 1 - int(step.attributes["sinks"])
                windows.append(_Window(numbers.name, room, marks.offset))
        self._windows = tuple(windows)

    def tokens(self, arrays: Arrays) -> int:
        """Return how long the axes of the plan's symbol are in this run: as the inputs say, else the maximum."""
        if not self._followers:
            return self._most
        lengths = {name: int(arrays[name].shape[axis]) for name, axis in self._followers.items()}
        if len(set(lengths.values())) > 1:
            raise InputError("INPUT_SYMBOL", f"inputs disagree about {self._symbol}: {lengths}", "pass one length")
        return next(iter(lengths.values()))

    def check(self, arrays: Arrays, tokens: int, state: npt.NDArray[np.uint8]) -> None:
        """Check token ids against the vocabulary, and positions and windows against the caches.

        Raises
        ------
        InputError
            ``TOKEN_RANGE``, ``POSITION_RANGE`` or ``WINDOW_RANGE``.
        """
        for name, vocabulary in self._vocabularies.items():
            _check_ids(name, arrays[name], vocabulary)
        for name, capacity in self._capacities.items():
            _check_position(name, int(arrays[name].reshape(-1)[0]), tokens, capacity)
        for window in self._windows:
            position, length = (int(number) for number in arrays[window.name].reshape(-1))
            stored = int(state[window.marks : window.marks + 4].view("<i4")[0])
            _check_window(window, position, length, tokens, stored)


def _lower(limits: dict[str, int], name: str, limit: int) -> None:
    limits[name] = min(limit, limits.get(name, limit))


def _vocabulary(model: Model, plan: Plan, step: Step) -> int:
    table = step.inputs[1] if len(step.inputs) > 1 else -1
    return plan.tensors[table].shape[0] if table >= 0 else model.matrices[int(step.attributes["matrix"])].rows


def _check_ids(name: str, ids: npt.NDArray[Any], vocabulary: int) -> None:
    wrong = (ids < 0) | (ids >= vocabulary)
    if wrong.any():
        message = f"{name} holds token {int(ids[wrong][0])} of a vocabulary of {vocabulary}"
        raise InputError("TOKEN_RANGE", message, "check the tokenizer")


def _check_position(name: str, position: int, tokens: int, capacity: int) -> None:
    if position < 0:
        raise InputError("POSITION_RANGE", f"{name} is {position}", "count positions from 0")
    if position + tokens > capacity:
        message = f"{tokens} tokens at position {position} exceed the {capacity} of the cache"
        raise InputError("POSITION_RANGE", message, "start again, or convert with a larger context")


def _check_window(window: _Window, position: int, length: int, tokens: int, stored: int) -> None:
    """Check the window against the room for exact keys, and the position against the tokens that were stored."""
    if length < 1:
        raise InputError("WINDOW_RANGE", f"the window is {length} tokens", "ask for at least 1")
    needed = position % length + tokens
    if needed > window.room:
        message = f"a window of {length} tokens needs {needed} exact keys, there is room for {window.room}"
        raise InputError("WINDOW_RANGE", message, "make the model with a larger window")
    if position > stored:
        message = f"position {position} leaves tokens out: {stored} are stored"
        raise InputError("POSITION_RANGE", message, "go on from a position that was reached")

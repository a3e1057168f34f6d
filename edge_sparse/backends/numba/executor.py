"""Memory and threads of one session of the Numba backend."""

from __future__ import annotations

import ctypes
import math
import os
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.base import Arrays
from edge_sparse.backends.numba.driver import DRIVER, PROGRESS_STRIDE, DriverArgument, LaunchField
from edge_sparse.backends.numba.launch import TOKENS, Address, bind
from edge_sparse.backends.numba.workers import Workers, native
from edge_sparse.backends.run_checks import RunChecks
from edge_sparse.errors import BackendError
from edge_sparse.plan import DType, Layout, Op, Plan, Storage, Tensor

if TYPE_CHECKING:
    from edge_sparse.backends.numba.program import NumbaProgram

__all__ = ["NumbaExecutor"]

#: Bytes before and after the arena: vectors may be read, never written, across a tensor's edge.
MARGIN = 4096
#: Pieces of a launch per thread: small enough that a thread which loses its core holds little.
CHUNKS_PER_THREAD = 4


class NumbaExecutor:
    """Runs a program; ``run`` may be called by one thread at a time."""

    def __init__(self, program: NumbaProgram, threads: int) -> None:
        self._program = program
        self._checks = RunChecks(program.model, program.plan)
        self._tiled = _inputs_of_products(program.plan) if program.plan.symbol else {}
        ports = [program.plan.tensors[number] for number in program.plan.inputs]
        self._integers = tuple(port.name for port in ports if port.dtype is DType.S32)
        self._outputs = tuple(program.plan.tensors[number] for number in program.plan.outputs)
        self._arena, self._arena_address = _aligned(program.arena_bytes + 2 * MARGIN)
        self._state, self._state_address = _aligned(program.model.state_bytes)
        first = self._state_address - self._state.ctypes.data
        self._state_view = self._state[first : first + program.model.state_bytes]
        self._patches: dict[str, list[tuple[npt.NDArray[np.int64], int, int]]] = {}
        launches = [launch for step in program.launches for launch in step]
        self._tables = [bind(launch, self._resolve) for launch in launches]
        self._launches = launches
        self._token_arguments: list[tuple[npt.NDArray[np.int64], int]] = []
        for launch, table in zip(launches, self._tables, strict=True):
            for position, argument in enumerate(launch.arguments):
                if isinstance(argument, Address) and argument.name:
                    self._patches.setdefault(argument.name, []).append((table, position, argument.offset))
                elif argument is TOKENS:
                    self._token_arguments.append((table, position))
        compiler = program.compiler
        # A launch waits for the ones before it unless both write different rows of one tensor.
        records = [
            (compiler.address(launch.kernel), table.ctypes.data, 0, 1, int(not launch.independent))
            for launch, table in zip(launches, self._tables, strict=True)
        ]
        self._records = np.array(records, np.int64).reshape(-1, len(LaunchField))
        self._progress = np.zeros((len(launches) + 1, PROGRESS_STRIDE), np.int64)
        self._stamps = np.zeros((len(launches) + 1, 2), np.int64)
        self._table = np.zeros(len(DriverArgument), np.int64)
        self._fill(threads, len(launches))
        self._drive = native(compiler.address(DRIVER))
        self._threads = threads
        self._workers: Workers | None = None
        self._number = self._tokens = 0
        self._set_tokens(max(1, program.plan.symbol_max))
        self._unfinished: tuple[Arrays, Arrays] | None = None
        self._closed = False
        if threads > 1:
            self._workers = self._new_workers()

    def _new_workers(self) -> Workers:
        wait = native(self._program.compiler.address("wait"))
        workers = Workers(self._threads - 1, self._drive, wait, self._table)
        weakref.finalize(self, workers.stop)
        self._process = os.getpid()
        return workers

    def _resolve(self, address: Address) -> int:
        if address.storage is Storage.ARENA:
            return self._arena_address + MARGIN + address.offset
        if address.storage is Storage.STATE:
            return self._state_address + address.offset
        return 0

    def _fill(self, threads: int, launches: int) -> None:
        table = self._table
        table[DriverArgument.LAUNCHES] = self._records.ctypes.data
        table[DriverArgument.LAST] = launches
        table[DriverArgument.THREADS] = threads
        table[DriverArgument.PROGRESS] = self._progress.ctypes.data
        table[DriverArgument.YIELD] = _libc("sched_yield")
        table[DriverArgument.STAMPS] = self._stamps.ctypes.data

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run on checked, contiguous inputs; outputs are new arrays in memory order."""
        if self._closed:
            raise BackendError("SESSION_CLOSED", "this session was closed", "load the model again")
        # Numbers that lead to addresses are checked and used in a copy: the caller's arrays can change meanwhile, and
        # do so before a run that was interrupted is finished.
        if self._integers:
            inputs = {**inputs, **{name: inputs[name].copy() for name in self._integers}}
        tokens = self._checks.tokens(inputs)
        self._checks.check(inputs, tokens, self.state)
        # Products read whole tiles of tokens, and kernels write them: both have room for the most.
        if self._tiled:
            inputs = {**inputs, **{name: _with_room(inputs[name], shape) for name, shape in self._tiled.items()}}
        outputs = {y.name: np.empty(_memory_shape(y), y.dtype.numpy) for y in self._outputs}
        if self._workers is not None and self._process != os.getpid():
            self._start_anew()
        self._finish()
        if tokens != self._tokens:
            self._set_tokens(tokens)
        for name, array in (*inputs.items(), *outputs.items()):
            for table, position, offset in self._patches.get(name, ()):
                table[position] = array.ctypes.data + offset
        if self._workers is not None:
            self._unfinished = (inputs, outputs)
            self._workers.start(self._number)
        self._drive(self._table.ctypes.data, 0, self._number)
        if self._workers is not None:
            self._number, self._unfinished = self._number + 1, None
        return {y.name: outputs[y.name][:tokens] if y.symbol_axis == 0 else outputs[y.name] for y in self._outputs}

    def _start_anew(self) -> None:
        """Replace the threads, which do not survive a fork of the process, and forget what they had begun."""
        self._workers = self._new_workers()
        self._progress[:] = 0
        self._number, self._unfinished = 0, None

    def _set_tokens(self, tokens: int) -> None:
        """Make the launches those of runs of so many tokens; no thread may be inside the driver meanwhile."""
        if self._workers is not None:
            self._workers.wait_until_idle()
        units = np.array([launch.units_in(tokens) for launch in self._launches], np.int64)
        if len(units):
            self._records[:, LaunchField.UNITS] = units
            self._records[:, LaunchField.CHUNK] = np.maximum(1, units // (CHUNKS_PER_THREAD * self._threads))
        for table, position in self._token_arguments:
            table[position] = tokens
        # The counters count in units of all runs, which have changed.
        self._progress[:] = 0
        self._tokens, self._number = tokens, 0

    @property
    def state(self) -> npt.NDArray[np.uint8]:
        """The memory that lives from run to run."""
        return self._state_view

    def _finish(self) -> None:
        """End a run that threads have begun; one that Ctrl-C cut off would else write to arrays that are gone."""
        if self._unfinished is None:
            return
        self._drive(self._table.ctypes.data, 0, self._number)
        self._number, self._unfinished = self._number + 1, None

    def time_steps(self, inputs: Arrays, repeats: int) -> list[list[float]]:
        """Run with a clock that is read between launches; the first run is not counted."""
        self._table[DriverArgument.CLOCK] = _libc("clock_gettime")
        times: list[list[float]] = [[] for _ in self._program.launches]
        try:
            for repeat in range(repeats + 1):
                self.run(inputs)
                seconds = self._stamps[:, 0] + self._stamps[:, 1] * 1e-9
                taken = np.diff(seconds - seconds[0])
                first = 0
                for index, launches in enumerate(self._program.launches):
                    if repeat:
                        times[index].append(float(taken[first : first + len(launches)].sum()))
                    first += len(launches)
        finally:
            self._table[DriverArgument.CLOCK] = 0
        return times

    def close(self) -> None:
        """Stop the threads."""
        self._closed = True
        if self._workers is not None:
            workers, self._workers = self._workers, None
            workers.stop()


def _aligned(size: int) -> tuple[npt.NDArray[np.uint8], int]:
    """Return zeros and the first address in them that is a multiple of 64."""
    memory = np.zeros(size + 64, np.uint8)
    return memory, -(-memory.ctypes.data // 64) * 64


def _inputs_of_products(plan: Plan) -> dict[str, tuple[int, ...]]:
    """Return names and largest shapes of the inputs that products read."""
    read = {number for step in plan.steps if step.op is Op.SPMM for number in step.inputs}
    return {plan.tensors[number].name: plan.tensors[number].shape for number in plan.inputs if number in read}


def _with_room(array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Return the array of a run, with zeros behind it in a run of fewer tokens."""
    if array.size == math.prod(shape):
        return array
    result = np.zeros(shape, array.dtype)
    result[: len(array)] = array
    return result


def _memory_shape(tensor: Tensor) -> tuple[int, ...]:
    if len(tensor.shape) == 4 and tensor.layout is Layout.NHWC:
        n, c, h, w = tensor.shape
        return (n, h, w, c)
    return tensor.shape


def _libc(name: str) -> int:
    """Return the address of a C library function, 0 where there is none."""
    try:
        return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0
    except (OSError, AttributeError, TypeError):
        return 0

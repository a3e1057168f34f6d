"""Memory and threads of one session of the C core."""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.base import Arrays
from edge_sparse.backends.native.library import ErrorText, SessionHandle, SessionOptions, StepProfile
from edge_sparse.backends.native.status import error_of
from edge_sparse.backends.run_checks import RunChecks
from edge_sparse.errors import BackendError
from edge_sparse.plan import DType, Layout, Storage, Tensor

if TYPE_CHECKING:
    from edge_sparse.backends.native.program import NativeProgram

__all__ = ["NativeExecutor"]


class _Session:
    """An ``es_session``, closed when nothing refers to it any more; it keeps its program, and so the weights, alive."""

    def __init__(self, program: NativeProgram, threads: int) -> None:
        self.program, self.threads, self.process = program, threads, os.getpid()
        options, error = SessionOptions(threads=threads, variants=program.variants), ErrorText()
        self.handle = SessionHandle()
        status = program.library.es_session_create(
            program.handle,
            program.plan.name.encode(),
            ctypes.byref(options),
            ctypes.byref(self.handle),
            ctypes.byref(error),
        )
        if status:
            raise error_of(program.library, status, error.message.decode(errors="replace"))
        # The program is an argument so that it outlives the session.
        weakref.finalize(self, _close, program, self.handle, threads, self.process)


def _close(program: NativeProgram, handle: SessionHandle, threads: int, process: int) -> None:
    # A fork of the process has no such threads; waiting for their end would last for ever.
    if threads == 1 or os.getpid() == process:
        program.library.es_session_close(handle)


class NativeExecutor:
    """Runs a program; ``run`` may be called by one thread at a time."""

    def __init__(self, program: NativeProgram, threads: int) -> None:
        plan = program.plan
        self._program, self._library = program, program.library
        self._checks = RunChecks(program.model, plan)
        self._inputs = tuple(plan.tensors[number] for number in plan.inputs)
        self._outputs = tuple(plan.tensors[number] for number in plan.outputs)
        self._session: _Session | None = _Session(program, threads)

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run on checked, contiguous inputs; outputs are new arrays in memory order."""
        handle = self._open().handle
        # Numbers that lead to addresses are checked and used in a copy: another thread can change the caller's arrays.
        arrays = [inputs[x.name].copy() if x.dtype is DType.S32 else inputs[x.name] for x in self._inputs]
        tokens = self._checks.tokens(inputs)
        outputs = {y.name: np.empty(_memory_shape(y, tokens), y.dtype.numpy) for y in self._outputs}
        for number, array in enumerate((*arrays, *outputs.values())):
            status = self._library.es_session_bind(handle, number, array.ctypes.data, array.nbytes)
            if status:
                raise self._error(handle, status)
        status = self._library.es_session_run(handle)
        if status:
            raise self._error(handle, status)
        return outputs

    def _open(self) -> _Session:
        session = self._session
        if session is None:
            raise BackendError("SESSION_CLOSED", "this session was closed", "load the model again")
        if session.threads > 1 and session.process != os.getpid():
            # Threads do not survive a fork of the process, memory does.
            self._session = _Session(self._program, session.threads)
            _state(self._session)[:] = _state(session)
            session = self._session
        return session

    def _error(self, handle: SessionHandle, status: int) -> Exception:
        return error_of(self._library, status, self._library.es_session_error(handle).decode(errors="replace"))

    @property
    def state(self) -> npt.NDArray[np.uint8]:
        """The memory that lives from run to run; stays readable for as long as the array lives."""
        return _state(self._open())

    def kernels(self) -> list[str]:
        """Return the name of every step's kernel."""
        return [(profile.kernel or b"").decode() for profile in self._profiles(self._open().handle)]

    def _profiles(self, handle: SessionHandle) -> list[StepProfile]:
        profiles = [StepProfile() for _ in range(self._library.es_session_step_count(handle))]
        for number, profile in enumerate(profiles):
            self._library.es_session_step(handle, number, ctypes.byref(profile))
        return profiles

    def time_steps(self, inputs: Arrays, repeats: int) -> list[list[float]]:
        """Run with a clock that is read between steps; the first run is not counted."""
        handle = self._open().handle
        times: list[list[float]] = [[] for _ in self._program.plan.steps]
        self.run(inputs)
        try:
            for _ in range(repeats):
                # Switching it on again sets the clocks to zero.
                self._library.es_session_set_profiling(handle, 1)
                self.run(inputs)
                for seconds, profile in zip(times, self._profiles(handle), strict=True):
                    seconds.append(profile.nanoseconds * 1e-9)
        finally:
            self._library.es_session_set_profiling(handle, 0)
        return times

    def close(self) -> None:
        """Stop the threads and free the memory, as soon as no array of the state is left."""
        self._session = None


def _state(session: _Session) -> npt.NDArray[np.uint8]:
    size = session.program.model.state_bytes
    first = next((t for t in session.program.plan.tensors if t.storage is Storage.STATE), None)
    if first is None:
        return np.zeros(size, np.uint8)
    data, length = ctypes.c_void_p(), ctypes.c_size_t()
    library = session.program.library
    status = library.es_session_state(session.handle, first.name.encode(), ctypes.byref(data), ctypes.byref(length))
    if status or data.value is None:
        raise error_of(library, status, library.es_session_error(session.handle).decode(errors="replace"))
    memory = (ctypes.c_uint8 * size).from_address(data.value - first.extent[0])
    # The array's base: while it lives, so does the session.
    memory.session = session  # type: ignore[attr-defined]
    return np.ctypeslib.as_array(memory)


def _memory_shape(tensor: Tensor, tokens: int) -> tuple[int, ...]:
    if tensor.symbol_axis == 0:
        return (tokens, *tensor.shape[1:])
    if len(tensor.shape) == 4 and tensor.layout is Layout.NHWC:
        n, c, h, w = tensor.shape
        return (n, h, w, c)
    return tensor.shape

"""What every backend offers, and how one is chosen."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import BackendError
from edge_sparse.plan import Model, Op, Plan

__all__ = ["BackendStatus", "Executor", "Program", "StepChoice", "available_backends", "prepare"]

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class StepChoice:
    """What a backend runs for a step: ``kernel`` names the code, ``reason`` says why it was taken.

    ``density`` is the kept share of a group-sparse matrix, None for steps without one.
    """

    index: int
    name: str
    op: Op
    kernel: str
    density: float | None
    reason: str


@dataclass(frozen=True)
class BackendStatus:
    """Whether a backend can run here, and what it would use or what it lacks."""

    available: bool
    detail: str


class Executor(Protocol):
    """Memory of one session; one thread at a time may call it."""

    def run(self, inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Run the plan on checked inputs in memory order; the outputs are new arrays in memory order."""
        ...

    def time_steps(self, inputs: Arrays, repeats: int) -> list[list[float]]:
        """Run ``repeats`` times and return the seconds of every step, one list per step."""
        ...

    @property
    def state(self) -> npt.NDArray[np.uint8]:
        """The memory that lives from run to run, ``model.state_bytes`` bytes."""
        ...

    def close(self) -> None:
        """Free threads and memory."""
        ...


class Program(Protocol):
    """A plan made ready for this machine; immutable, shared by executors in any number of threads."""

    @property
    def choices(self) -> Sequence[StepChoice]:
        """What runs for each step."""
        ...

    def executor(self, threads: int) -> Executor:
        """Make the memory of a new session."""
        ...


def available_backends() -> dict[str, BackendStatus]:
    """Return the state of every backend by name, the default one first."""
    states = {name: _STATES[name]() for name in _preferred()}
    return dict(sorted(states.items(), key=lambda item: not item[1].available or item[0] == "reference"))


def _preferred() -> tuple[str, ...]:
    """Return all backends, this machine's fastest first: the C core's kernels were made for ARM."""
    arm = platform.machine().lower() in ("aarch64", "arm64", "armv7l")
    return ("native", "numba", "reference") if arm else ("numba", "native", "reference")


def _numba_status() -> BackendStatus:
    missing = [name for name in ("numba", "llvmlite") if importlib.util.find_spec(name) is None]
    if missing:
        return BackendStatus(False, f"{missing[0]} is not installed: pip install 'edge_sparse[jit]'")
    from edge_sparse.backends.numba.target import host_target

    target = host_target()
    return BackendStatus(True, f"vector kernels for {target.cpu}, {target.lanes} float32 lanes")


def _native_status() -> BackendStatus:
    from edge_sparse.backends.native.library import library_path, load_library

    try:
        library = load_library()
    except BackendError as error:
        return BackendStatus(False, f"{error.message}: {error.hint}")
    return BackendStatus(True, f"C kernels, {library.es_cpu_description().decode()}, {library_path()}")


def _reference_status() -> BackendStatus:
    return BackendStatus(True, "NumPy, slow, the oracle of the others")


#: What finds out whether a backend can run; asking Numba loads LLVM.
_STATES = {"numba": _numba_status, "native": _native_status, "reference": _reference_status}


def prepare(name: str, model: Model, plan: Plan) -> tuple[str, Program]:
    """Return the backend's name and the plan made ready for it; ``"auto"`` takes the machine's fastest.

    Raises
    ------
    BackendError
        The backend is unknown, cannot run here or does not know a step. Nothing is replaced silently.
    """
    names = _preferred()
    if name == "auto":
        # The oracle is never a silent replacement.
        name = next((other for other in names[:-1] if _STATES[other]().available), names[0])
    if name not in names:
        raise BackendError(
            "BACKEND_UNKNOWN", f"backend {name!r} is not one of {', '.join(names)}", "choose one of those"
        )
    status = _STATES[name]()
    if not status.available:
        hint = status.detail + "; or ask for backend='reference', which is slow"
        raise BackendError("BACKEND_UNAVAILABLE", f"backend {name} cannot run on this {platform.machine()}", hint)
    if name == "reference":
        from edge_sparse.backends.reference.program import ReferenceProgram

        return name, ReferenceProgram(model, plan)
    if name == "native":
        from edge_sparse.backends.native.program import NativeProgram

        return name, NativeProgram(model, plan)
    from edge_sparse.backends.numba.program import NumbaProgram

    return name, NumbaProgram(model, plan)

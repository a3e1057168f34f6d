"""``Session``: a model with memory of its own, ready to run."""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.backends.base import Executor, Program, StepChoice, prepare
from edge_sparse.errors import BackendError, InputError
from edge_sparse.plan import Model, Op, Plan, Step, Storage, Tensor
from edge_sparse.port import Port

__all__ = ["Port", "Session", "StepTime", "load"]


@dataclass(frozen=True)
class StepTime:
    """Measured time of one step; ``flops`` counts the multiply-adds of stored weights twice, per run."""

    index: int
    name: str
    op: Op
    kernel: str
    seconds_min: float
    seconds_median: float
    flops: int
    kept_weights: int


class Session:
    """Runs one plan of a model.

    Calls from several threads wait for each other; ``fork`` makes sessions cheaply that run at the same time.

    Make one with ``edge_sparse.load`` or ``Session.from_model``.
    """

    def __init__(self, model: Model, plan: Plan, backend: str, program: Program, threads: int) -> None:
        self.model, self.plan, self.backend, self.threads = model, plan, backend, threads
        self._program = program
        with _memory_of(model, plan):
            self._executor = program.executor(threads)
        self._lock = threading.Lock()
        self._closed = False
        self.inputs = tuple(Port.of(plan.tensors[number]) for number in plan.inputs)
        self.outputs = tuple(Port.of(plan.tensors[number]) for number in plan.outputs)

    @classmethod
    def from_model(cls, model: Model, *, backend: str = "auto", threads: int | None = None, plan: str = "") -> Session:
        """Make a session of a model in memory.

        Parameters
        ----------
        model : Model
            May be shared by sessions in many threads.
        backend : {"auto", "numba", "native", "reference"}
            "auto" takes the fastest of this machine.
        threads : int, optional
            1 by default. Results do not depend on it.
        plan : str
            Name of the plan; the first by default.

        Raises
        ------
        InputError
            ``THREADS_RANGE`` or ``PLAN_UNKNOWN``.
        BackendError
            The backend cannot run here; ``MEMORY_EXHAUSTED`` when this machine has not the memory that the plan needs,
            which a run can find out too.
        """
        threads = 1 if threads is None else threads
        if not isinstance(threads, int) or not 1 <= threads <= 256:
            raise InputError("THREADS_RANGE", f"{threads!r} threads", "ask for 1 to 256 threads")
        names = [candidate.name for candidate in model.plans]
        if plan not in ("", *names) or not names:
            raise InputError("PLAN_UNKNOWN", f"the model has no plan {plan!r}", f"it has {', '.join(names) or 'none'}")
        chosen = model.plan(plan)
        with _memory_of(model, chosen):
            name, program = prepare(backend, model, chosen)
        return cls(model, chosen, name, program, threads)

    def fork(self) -> Session:
        """Return a session with memory of its own that shares kernels and weights, for another thread."""
        return Session(self.model, self.plan, self.backend, self._program, self.threads)

    def __call__(self, *arrays: npt.NDArray[Any]) -> Any:
        """Run on one array per input, in order; returns the output, or a tuple when there are several."""
        if len(arrays) != len(self.inputs):
            names = ", ".join(port.name for port in self.inputs)
            raise InputError("INPUT_COUNT", f"{len(arrays)} arrays for inputs {names}", f"pass {len(self.inputs)}")
        outputs = self.run({port.name: array for port, array in zip(self.inputs, arrays, strict=True)})
        results = tuple(outputs[port.name] for port in self.outputs)
        return results[0] if len(results) == 1 else results

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Run on arrays by name and return new arrays by name."""
        checked = self._named(inputs)
        with self._turn() as executor:
            return executor.run(checked)

    @contextmanager
    def _turn(self) -> Iterator[Executor]:
        """Give the executor to one thread; none after ``close``."""
        with self._lock:
            if self._closed:
                raise BackendError("SESSION_CLOSED", "this session was closed", "load the model again")
            with _memory_of(self.model, self.plan):
                yield self._executor

    def _named(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        names = [port.name for port in self.inputs]
        if sorted(inputs) != sorted(names):
            raise InputError("INPUT_NAME", f"inputs are named {sorted(inputs)}, not {sorted(names)}", "rename them")
        return {port.name: port.check(inputs[port.name]) for port in self.inputs}

    def classify(self, image: object, top: int = 5) -> list[tuple[str, float]]:
        """Return the most probable labels of a picture with their probabilities, the best first.

        Parameters
        ----------
        image : str, path, PIL.Image.Image or ndarray of uint8
            Preprocessed as the model's image record says; see ``edge_sparse.image.preprocess``.
        top : int
            Number of labels.

        Raises
        ------
        InputError
            The model has no image record (``IMAGE_RECORD_MISSING``), another kind of input, or the picture is unusable.
        """
        from edge_sparse.classification import class_probabilities, ends_in_softmax, top_labels
        from edge_sparse.image import preprocess

        if top < 1:
            raise InputError("TOP_RANGE", f"the best {top} labels", "ask for at least one")
        record = self.model.image
        if record is None:
            raise InputError(
                "IMAGE_RECORD_MISSING",
                "the model does not say how an image becomes its input",
                "convert it with --image, or preprocess yourself and pass an array",
            )
        x = preprocess(image, record)
        port = self.inputs[0]
        scores = self.run({port.name: np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if port.layout == "nhwc" else x})
        probabilities = class_probabilities(scores[self.outputs[0].name], normalised=ends_in_softmax(self.plan))
        return top_labels(probabilities, self.model.labels, top)

    def profile(self, inputs: Mapping[str, npt.NDArray[Any]] | None = None, repeats: int = 20) -> list[StepTime]:
        """Time every step over some runs, on random inputs by default."""
        if repeats < 1:
            raise InputError("REPEATS_RANGE", f"{repeats} repeats", "ask for at least one")
        checked = self._named(inputs or self.random_inputs())
        with self._turn() as executor:
            times = executor.time_steps(checked, repeats)
        return [
            StepTime(
                choice.index,
                choice.name,
                choice.op,
                choice.kernel,
                min(seconds),
                statistics.median(seconds),
                _flops(self.model, self.plan, self.plan.steps[choice.index]),
                _kept(self.model, self.plan.steps[choice.index]),
            )
            for choice, seconds in zip(self.choices, times, strict=True)
        ]

    def random_inputs(self, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
        """Return normally distributed float inputs (zeros for integers) that fit the model."""
        generator = np.random.default_rng(seed)
        return {
            port.name: generator.standard_normal(port.shape, np.float32)
            if port.dtype == np.float32
            else np.zeros(port.shape, port.dtype)
            for port in self.inputs
        }

    @property
    def choices(self) -> tuple[StepChoice, ...]:
        """What the backend runs for each step."""
        return tuple(self._program.choices)

    @property
    def flops(self) -> int:
        """Twice the multiply-adds of stored weights in one run."""
        return sum(_flops(self.model, self.plan, step) for step in self.plan.steps)

    @property
    def arena_bytes(self) -> int:
        """Memory for activations."""
        return self.plan.arena_bytes

    def explain(self) -> str:
        """Return a table: what runs for each step, sparse or dense, and why."""
        rows = [("#", "step", "op", "kernel", "kept", "why")]
        for choice in self.choices:
            kept = "" if choice.density is None else f"{choice.density:.0%}"
            row = (str(choice.index), choice.name, choice.op.name.lower(), choice.kernel, kept, choice.reason)
            rows.append(row)
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[5]]) for row in rows]
        return "\n".join([f"backend {self.backend}, {self.threads} thread(s)", *(line.rstrip() for line in lines)])

    def state(self, name: str) -> npt.NDArray[Any]:
        """Return a state tensor's memory, flat, as it is now; later runs change it.

        Raises
        ------
        InputError
            ``STATE_UNKNOWN``: the plan has no state tensor of this name.
        """
        for tensor in self.plan.tensors:
            if tensor.storage is Storage.STATE and tensor.name == name:
                return self._executor.state[slice(*tensor.extent)].view(tensor.dtype.numpy)
        known = [tensor.name for tensor in self.plan.tensors if tensor.storage is Storage.STATE]
        raise InputError("STATE_UNKNOWN", f"there is no state {name!r}", f"it has {', '.join(known) or 'none'}")

    def close(self) -> None:
        """Stop the session's threads; a closed session cannot run."""
        with self._lock:
            self._closed = True
            self._executor.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _memory_of(model: Model, plan: Plan) -> Iterator[None]:
    """Say how much memory a plan needs where there is not enough of it."""
    try:
        yield
    except MemoryError as error:
        ports = sum(_bytes(plan.tensors[number]) for number in (*plan.inputs, *plan.outputs))
        needed = plan.arena_bytes + model.state_bytes + ports
        message = (
            f"plan {plan.name} needs {needed} bytes ({plan.arena_bytes} of arena, {model.state_bytes} of state, "
            f"{ports} of inputs and outputs) besides its weights, and the memory does not suffice"
        )
        raise BackendError(
            "MEMORY_EXHAUSTED", message, "close other programs, or use a smaller model or batch"
        ) from error


def _bytes(tensor: Tensor) -> int:
    return tensor.size * tensor.dtype.numpy.itemsize


def _kept(model: Model, step: Step) -> int:
    matrix = int(step.attributes.get("matrix", -1))
    return model.matrices[matrix].kept_weights if matrix >= 0 else 0


def _flops(model: Model, plan: Plan, step: Step) -> int:
    y = plan.tensors[step.outputs[0]]
    if step.op is Op.SPMM:
        rows = model.matrices[int(step.attributes["matrix"])].rows
        return 2 * _kept(model, step) * (y.size // rows)
    if step.op is Op.DWCONV:
        return 2 * y.size * int(step.attributes["kernel_h"] * step.attributes["kernel_w"])
    return 0


def load(path: str | os.PathLike[str], *, backend: str = "auto", threads: int | None = None, plan: str = "") -> Session:
    """Open an ``.egs`` file and return a session.

    The file is validated completely before anything runs. See ``Session.from_model`` for the parameters.

    Raises
    ------
    FileFormatError
        The file breaks a rule of the format; ``code`` names it.
    BackendError
        The backend cannot run here.
    """
    from edge_sparse.format.reader import read_model

    return Session.from_model(read_model(Path(path)), backend=backend, threads=threads, plan=plan)

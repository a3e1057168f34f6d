"""A plan made ready for this machine: kernels compiled, weights and tables in kernel order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_sparse.backends.base import StepChoice
from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.decoder_steps import DECODER_OPS, decoder_launches
from edge_sparse.backends.numba.delta_attention import delta_attention_launches
from edge_sparse.backends.numba.driver import DRIVER, emit_driver, emit_waiter
from edge_sparse.backends.numba.dwconv import dwconv_launch
from edge_sparse.backends.numba.elementwise import elementwise_launch
from edge_sparse.backends.numba.executor import NumbaExecutor
from edge_sparse.backends.numba.integer_product import integer_launches, same_integers
from edge_sparse.backends.numba.launch import Launch, address_of
from edge_sparse.backends.numba.scalar_steps import LAUNCHERS, zero_border_launch
from edge_sparse.backends.numba.scratch import Scratch
from edge_sparse.backends.numba.spmm import spmm_launches
from edge_sparse.backends.numba.spmm_kernel import Epilogue
from edge_sparse.errors import BackendError
from edge_sparse.plan import Activation, Layout, Model, Op, Plan, Step, Storage, Tensor

__all__ = ["NumbaProgram"]

_KNOWN = {Op.SPMM, Op.DWCONV, Op.ADD, Op.MUL, Op.ACTIVATION, *LAUNCHERS, *DECODER_OPS, Op.DELTA_ATTENTION}


class NumbaProgram:
    """Immutable after construction; executors in any number of threads share it.

    Attributes
    ----------
    launches : list of list of Launch
        The launches of every step.
    """

    def __init__(self, model: Model, plan: Plan, compiler: KernelCompiler | None = None) -> None:
        unknown = sorted({step.op.name for step in plan.steps if step.op not in _KNOWN})
        if unknown:
            raise BackendError(
                "OP_UNSUPPORTED", f"the numba backend has no {', '.join(unknown)}", "use backend='reference'"
            )
        self.model, self.plan = model, plan
        self.scratch = Scratch(plan.arena_bytes)
        self.compiler = compiler or KernelCompiler()
        self.compiler.emit(DRIVER, emit_driver)
        self.compiler.emit("wait", emit_waiter)
        self.launches = [self._launches(step) for step in plan.steps]
        self.compiler.load()

    def _launches(self, step: Step) -> list[Launch]:
        tensors = [None if number < 0 else self.plan.tensors[number] for number in step.inputs]
        x, y = tensors[0], self.plan.tensors[step.outputs[0]]
        assert x is not None
        if step.op in DECODER_OPS:
            return decoder_launches(self.compiler, self.model, step, tensors, y)
        if step.op is Op.DELTA_ATTENTION:
            needed = [tensor for tensor in tensors if tensor is not None]
            return delta_attention_launches(self.compiler, self.scratch, step, needed, y)
        if step.op is Op.SPMM:
            matrix = self.model.matrices[int(step.attributes["matrix"])]
            bias, residual = (*tensors[1:], None, None)[:2]
            operands = (matrix, x, y, step.attributes, _epilogue(step), _constant(bias), residual)
            if step.attributes["quantise_x"]:
                quantised = self._quantised_before(step)
                return integer_launches(self.compiler, self.scratch, *operands, quantised=quantised)
            # The kernel writes the border itself, while the pixels beside it are in the cache.
            return spmm_launches(self.compiler, *operands)
        launches = self._core(step, x, y, tensors[1:])
        if y.border and y.layout is not Layout.ROW_MAJOR:
            launches.append(zero_border_launch(self.compiler, y))
        return launches

    def _quantised_before(self, step: Step) -> bool:
        """Whether the step before this one left this step's x in the scratch memory, and runs apart from this one."""
        number = next(index for index, other in enumerate(self.plan.steps) if other is step)
        before = self.plan.steps[number - 1] if number else None
        if before is None or before.op is not Op.SPMM or not before.attributes["quantise_x"]:
            return False
        alone = all(len(s.inputs) < 3 or s.inputs[2] < 0 for s in (before, step))
        matrices = [self.model.matrices[int(s.attributes["matrix"])] for s in (before, step)]
        return alone and before.inputs[0] == step.inputs[0] and same_integers(self.compiler, *matrices)

    def _core(self, step: Step, x: Tensor, y: Tensor, others: list[Tensor | None]) -> list[Launch]:
        if step.op is Op.DWCONV:
            weight, bias = others[0], others[1] if len(others) > 1 else None
            assert weight is not None
            launch = dwconv_launch(
                self.compiler, x, y, address_of(weight), _constant(bias), step.attributes, _epilogue(step)
            )
            return [launch]
        if step.op in (Op.ADD, Op.MUL, Op.ACTIVATION):
            other = others[0] if others else None
            return [elementwise_launch(self.compiler, step.op, x, other, y, _epilogue(step))]
        launches = [LAUNCHERS[step.op](self.compiler, step, x, y)]
        if step.attributes.get("activation"):
            launches.append(elementwise_launch(self.compiler, Op.ACTIVATION, y, None, y, _epilogue(step)))
        return launches

    @property
    def arena_bytes(self) -> int:
        """The plan's arena and the kernels' scratch memory behind it."""
        return self.scratch.end

    @property
    def choices(self) -> list[StepChoice]:
        """Kernel of every step and why it was taken."""
        choices = []
        for index, (step, launches) in enumerate(zip(self.plan.steps, self.launches, strict=True)):
            matrix = int(step.attributes.get("matrix", -1)) if step.op is Op.SPMM else -1
            density = self.model.matrices[matrix].density if matrix >= 0 else None
            kernels = " + ".join(dict.fromkeys(launch.kernel for launch in launches))
            reason = ""
            if density is not None:
                lanes = "pixels" if "_chw_" in kernels else "rows"
                reason = f"{'dense' if density == 1 else f'sparse, {1 - density:.0%} skipped'}, {lanes} in the lanes"
            choices.append(StepChoice(index, step.name, step.op, kernels, density, reason))
        return choices

    def executor(self, threads: int) -> NumbaExecutor:
        """Make the memory and threads of a new session."""
        return NumbaExecutor(self, threads)


def _epilogue(step: Step) -> Epilogue:
    a = step.attributes
    activation = Activation(int(a["activation"]))
    if activation is not Activation.CLAMP:
        return Epilogue(activation=activation)
    return replace(Epilogue(activation=activation), clamp_low=float(a["clamp_low"]), clamp_high=float(a["clamp_high"]))


def _constant(tensor: Tensor | None) -> np.ndarray | None:
    """Return a bias as the flat array that kernels read."""
    if tensor is None:
        return None
    if tensor.storage is not Storage.CONSTANT or tensor.data is None:
        raise BackendError("PLAN_UNSUPPORTED", f"bias {tensor.name} is not a constant", "convert it again")
    return np.ascontiguousarray(tensor.data, np.float32).reshape(-1)

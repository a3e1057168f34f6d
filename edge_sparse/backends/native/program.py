"""A plan handed to the C core: the model's records as bytes, its weights by address."""

from __future__ import annotations

import ctypes
import weakref

import numpy as np

from edge_sparse.backends.base import StepChoice
from edge_sparse.backends.native.executor import NativeExecutor
from edge_sparse.backends.native.library import ErrorText, ModelHandle, load_library
from edge_sparse.backends.native.status import error_of
from edge_sparse.format.assembly import detached_parts
from edge_sparse.plan import Model, Op, Plan

__all__ = ["NativeProgram"]


class NativeProgram:
    """Immutable after construction; executors in any number of threads share it.

    Parameters
    ----------
    model, plan : Model, Plan
        The C core checks all rules of ``docs/format.md`` anew, and reads weights where they are.
    variants : int
        Mask of the kernel variants that may run (``ES_VARIANT_*``); 0 for all that this processor has.
    """

    def __init__(self, model: Model, plan: Plan, variants: int = 0) -> None:
        self.model, self.plan, self.variants = model, plan, variants
        self.library = load_library()
        head, blobs = detached_parts(model)
        # The library reads blobs for as long as the model is open.
        self._blobs = [np.frombuffer(blob, np.uint8) for blob in blobs]
        addresses = (ctypes.c_void_p * max(1, len(blobs)))(*(blob.ctypes.data for blob in self._blobs))
        handle, error = ModelHandle(), ErrorText()
        status = self.library.es_model_open_detached(
            head, len(head), addresses, len(blobs), None, ctypes.byref(handle), ctypes.byref(error)
        )
        if status:
            raise error_of(self.library, status, error.message.decode(errors="replace"))
        self.handle = handle
        weakref.finalize(self, self.library.es_model_close, handle)
        self._choices: list[StepChoice] = []

    @property
    def choices(self) -> list[StepChoice]:
        """Kernel of every step and why it was taken."""
        if not self._choices:
            self.executor(1).close()
        return self._choices

    def _describe(self, kernels: list[str]) -> list[StepChoice]:
        choices = []
        for index, (step, kernel) in enumerate(zip(self.plan.steps, kernels, strict=True)):
            matrix = int(step.attributes.get("matrix", -1)) if step.op is Op.SPMM else -1
            density = self.model.matrices[matrix].density if matrix >= 0 else None
            reason = ""
            if density is not None:
                reason = "dense" if density == 1 else f"sparse, {1 - density:.0%} skipped"
            choices.append(StepChoice(index, step.name, step.op, kernel, density, reason))
        return choices

    def executor(self, threads: int) -> NativeExecutor:
        """Make the memory and threads of a new session."""
        executor = NativeExecutor(self, threads)
        self._choices = self._choices or self._describe(executor.kernels())
        return executor

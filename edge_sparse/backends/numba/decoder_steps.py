"""From the steps of decoders to launches."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sparse.backends.numba.attention import attention_launches
from edge_sparse.backends.numba.compiler import KernelCompiler
from edge_sparse.backends.numba.embedding import embedding_launch, take_last_launch
from edge_sparse.backends.numba.launch import Launch
from edge_sparse.backends.numba.rms_norm import rms_norm_launch
from edge_sparse.backends.numba.rope import rope_launch
from edge_sparse.errors import BackendError
from edge_sparse.plan import Model, Op, Step, Tensor

__all__ = ["DECODER_OPS", "decoder_launches"]

#: The op codes that ``decoder_launches`` knows.
DECODER_OPS = frozenset({Op.EMBEDDING, Op.RMS_NORM, Op.ROPE, Op.ATTENTION, Op.TAKE_LAST})


def decoder_launches(
    compiler: KernelCompiler, model: Model, step: Step, inputs: Sequence[Tensor | None], y: Tensor
) -> list[Launch]:
    """Return the launches of a step of ``DECODER_OPS``.

    Parameters
    ----------
    compiler : KernelCompiler
    model : Model
    step : Step
    inputs : sequence of Tensor or None
        The step's operands, all of them; None where one is absent.
    y : Tensor
    """
    if step.op is Op.EMBEDDING:
        table = inputs[1] if len(inputs) > 1 else None
        matrix = None if table is not None else model.matrices[int(step.attributes["matrix"])]
        return [embedding_launch(compiler, _there(step, inputs[0]), y, table, matrix)]
    if step.op is Op.ATTENTION:
        return attention_launches(compiler, step, inputs, y)
    needed = [_there(step, tensor) for tensor in inputs]
    if step.op is Op.RMS_NORM:
        return [rms_norm_launch(compiler, needed[0], y, needed[1], float(step.attributes["epsilon"]))]
    if step.op is Op.ROPE:
        return [rope_launch(compiler, step, needed[0], y, needed[1], needed[2])]
    return [take_last_launch(compiler, needed[0], y)]


def _there(step: Step, tensor: Tensor | None) -> Tensor:
    if tensor is None:
        raise BackendError("PLAN_UNSUPPORTED", f"step {step.name} lacks an operand", "convert it again")
    return tensor

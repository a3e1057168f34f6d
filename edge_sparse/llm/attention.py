"""How attention stores keys and values, chosen when a session is made; ``with_attention`` rewrites a model for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import InputError
from edge_sparse.format.read_plans import check_plans
from edge_sparse.llm.delta import DeltaAttention
from edge_sparse.llm.state_layout import lay_out_state, state_tensor
from edge_sparse.plan import CACHE_BLOCK, DType, Model, Op, Step, Tensor

__all__ = ["AttentionMode", "DeltaAttention", "ExactAttention", "with_attention"]

#: How far a stored element can be from the key or value, as a share of the largest magnitude that is stored with it.
_ROUNDING = {DType.F32: 0.0, DType.F16: 2.0**-11, DType.S8: 1 / 254}


class AttentionMode(Protocol):
    """A way to attend: a small frozen value that can rewrite the attention steps and the state of a model."""

    def rewrite(self, model: Model, context: int | None = None) -> Model:
        """Return the model with its ATTENTION steps and caches replaced, with room for ``context`` tokens."""
        ...

    def window_tokens(self, prompt_tokens: int) -> int:
        """Return the window, in tokens, that plans with a second position number are given after this prompt."""
        ...

    def rewind(self, position: int, window: int, stored: int, context: int, chunk: int) -> int:
        """Return the last position up to ``position`` from which a text can go on as if it had never gone further."""
        ...


@dataclass(frozen=True)
class ExactAttention:
    """Every query sees every key and value as it is stored; nothing is skipped.

    Parameters
    ----------
    cache : DType
        ``F32``; ``F16``; or ``S8``: integers with one scale per token and kv head, a quarter of the memory of F32.
    """

    cache: DType = DType.S8

    def __post_init__(self) -> None:
        if self.cache not in _ROUNDING:
            raise InputError("ATTENTION_CACHE", f"a cache of {self.cache.name}", "ask for s8, f16 or f32")

    def rewrite(self, model: Model, context: int | None = None) -> Model:
        """Return the model with caches of this type and room for ``context`` tokens, as many as before by default.

        Rows are a multiple of ``CACHE_BLOCK``, so there may be room for a few tokens more.

        Raises
        ------
        InputError
            ``CONTEXT_RANGE``.
        """
        tensors = list(model.tensors)
        made: dict[int, tuple[int, ...]] = {}
        plans = [
            replace(plan, steps=tuple(self._step(step, tensors, made, context) for step in plan.steps))
            for plan in model.plans
        ]
        table, state_bytes = lay_out_state(tensors)
        return replace(model, plans=tuple(replace(plan, tensors=table) for plan in plans), state_bytes=state_bytes)

    def window_tokens(self, prompt_tokens: int) -> int:
        """Return 1: there is no window."""
        return 1

    def rewind(self, position: int, window: int, stored: int, context: int, chunk: int) -> int:
        """Return ``position``: what is stored behind it is simply written again."""
        return position

    def element_bound(self, largest: float) -> float:
        """Return how far a stored element can be from the true one, where ``largest`` is the magnitude that bounds it.

        For S8 that is the largest of the token's kv head (the bound is half its scale), for F16 the element's own.
        """
        return _ROUNDING[self.cache] * largest

    def score_bound(self, queries: npt.NDArray[Any], scale: float, largest: float) -> npt.NDArray[np.float64]:
        """Return how far scores of queries (..., head_dim) can be from those of keys that are not rounded."""
        sizes = np.abs(queries.astype(np.float64)).sum(axis=-1)
        return np.asarray(self.element_bound(largest) * sizes * abs(scale))

    def _step(self, step: Step, tensors: list[Tensor], made: dict[int, tuple[int, ...]], context: int | None) -> Step:
        """Return the step with its caches changed, once for all plans that share them."""
        if step.op is not Op.ATTENTION:
            return step
        keys, values = step.inputs[3:5]
        if keys not in made:
            rows = _rows(tensors[keys].shape[0] if context is None else context, tensors[step.outputs[0]])
            for number in (keys, values):
                tensors[number] = state_tensor(tensors[number].name, self.cache, (rows, tensors[number].shape[1]))
            made[keys] = ()
            if self.cache is DType.S8:
                shape = (rows, int(step.attributes["kv_heads"]))
                for number in (keys, values):
                    name = tensors[number].name.removesuffix("_cache") + "_scales"
                    tensors.append(state_tensor(name, DType.F32, shape))
                made[keys] = (len(tensors) - 2, len(tensors) - 1)
        return replace(step, inputs=(*step.inputs[:6], *made[keys]))


def _rows(context: int, result: Tensor) -> int:
    """Return the rows of a cache for so many tokens."""
    if not result.shape[0] <= context < 1 << 31:
        message = f"a context of {context} tokens for runs of up to {result.shape[0]}"
        raise InputError("CONTEXT_RANGE", message, f"ask for at least {result.shape[0]}")
    return -(-context // CACHE_BLOCK) * CACHE_BLOCK


def with_attention(model: Model, mode: AttentionMode, context: int | None = None) -> Model:
    """Return the model with the attention of a mode and room for ``context`` tokens, as many as before by default.

    The model is one that a file was read to, with ATTENTION steps; make its sessions with ``Session.from_model``.

    Raises
    ------
    InputError
        ``CONTEXT_RANGE``; ``ATTENTION_ABSENT`` if the model has no ATTENTION step.
    FileFormatError
        ``STEP_*``: steps use the caches in ways that do not go together with the mode.
    """
    if not any(step.op is Op.ATTENTION for plan in model.plans for step in plan.steps):
        raise InputError("ATTENTION_ABSENT", "the model has no attention step", "load a converted language model")
    rewritten = mode.rewrite(model, context)
    # Steps of a strange file may share caches between heads of different sizes, or read them as floats.
    check_plans(rewritten.plans, rewritten.matrices)
    return rewritten

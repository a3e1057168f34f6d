"""Delta attention (DeltaLLM, arXiv 2507.19608): keys are stored as the changes of a running reference."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import InputError
from edge_sparse.format.delta_rules import mark_words
from edge_sparse.llm.state_layout import lay_out_state, state_tensor
from edge_sparse.plan import DType, Model, Op, Plan, Step, Tensor
from edge_sparse.session import Session

__all__ = ["DeltaAttention", "DeltaSparsity", "delta_sparsity"]


@dataclass(frozen=True)
class DeltaAttention:
    """How keys become changes, and which queries still see them exactly.

    Parameters
    ----------
    theta : float
        A key element that is at most this far from its reference is not stored again; 0 stores every change.
    window : float
        Length of the blocks inside which keys are exact, as a share of the first prompt, 0 to 1; at least one token.
    sinks : int
        So many first tokens are always exact.
    cache : DType
        ``F16`` or ``F32``: type of stored changes and values.
    """

    theta: float = 0.6
    window: float = 0.05
    sinks: int = 0
    cache: DType = DType.F16

    def __post_init__(self) -> None:
        if not (math.isfinite(self.theta) and self.theta >= 0):
            raise InputError("ATTENTION_THETA", f"theta is {self.theta}", "pass a number from 0; 0.6 is the default")
        if not 0 <= self.window <= 1:
            raise InputError("ATTENTION_WINDOW", f"the window is {self.window} of the prompt", "pass 0 to 1")
        if not 0 <= self.sinks <= 1 << 16:
            raise InputError("ATTENTION_SINKS", f"{self.sinks} sinks", "pass 0 to 65536")
        if self.cache not in (DType.F16, DType.F32):
            hint = "delta attention stores f16 or f32"
            raise InputError("ATTENTION_CACHE", f"a cache of {self.cache.name} in delta attention", hint)

    def window_tokens(self, prompt_tokens: int) -> int:
        """Return the block length for a first prompt of so many tokens; it stays until the cache is empty again."""
        return max(1, round(self.window * prompt_tokens))

    def rewind(self, position: int, window: int, stored: int, context: int, chunk: int) -> int:
        """Return the last position up to ``position`` where a text may go on as if it had never been left.

        Any position whose block is still exact, else the beginning of its block. ``stored`` tokens are in the cache
        of ``context``, which runs of up to ``chunk`` tokens filled.
        """
        block = position // window * window
        return position if block >= stored - self._ring(context, chunk) else block

    def score_bound(self, queries: npt.NDArray[Any], scale: float) -> npt.NDArray[np.float64]:
        """Return how far the scores of queries (..., head_dim) can be from those of exact keys: theta |q|_1 scale."""
        return np.asarray(self.theta * np.abs(queries.astype(np.float64)).sum(axis=-1) * abs(scale))

    def rewrite(self, model: Model, context: int | None = None) -> Model:
        """Return the model with every ATTENTION replaced and room for ``context`` tokens, as many as before by default.

        Inputs ``position`` then hold two numbers: the tokens stored, and the window in tokens.

        Raises
        ------
        InputError
            ``CONTEXT_RANGE``.
        """
        tensors = list(model.tensors)
        chunk = max((plan.symbol_max for plan in model.plans), default=1) or 1
        made: dict[int, tuple[int, int]] = {}
        plans = []
        for plan in model.plans:
            steps = tuple(self._step(step, tensors, made, context, chunk) for step in plan.steps)
            plans.append((plan, steps))
        table, state_bytes = lay_out_state(tensors)
        new = tuple(replace(plan, tensors=table, steps=steps) for plan, steps in plans)
        return replace(model, plans=new, state_bytes=state_bytes)

    def _ring(self, context: int, chunk: int) -> int:
        return round(self.window * context) + chunk

    def _step(
        self, step: Step, tensors: list[Tensor], made: dict[int, tuple[int, int]], context: int | None, chunk: int
    ) -> Step:
        """Return the step, replaced if it is ATTENTION; its caches are changed once, however many plans share them."""
        if step.op is not Op.ATTENTION:
            return step
        q, k, v, keys, values, position = step.inputs[:6]
        words = dict(step.attributes)
        if keys not in made:
            made[keys] = self._replace_caches(tensors, keys, values, words, context, chunk)
        tensors[position] = replace(tensors[position], shape=(2,), strides=(1,), extent=(0, 8))
        words = {name: words[name] for name in ("heads", "kv_heads", "head_dim", "scale")}
        words |= {"theta": self.theta, "sinks": self.sinks}
        inputs = (q, k, v, keys, values, position, *made[keys])
        return Step(Op.DELTA_ATTENTION, step.name, inputs, step.outputs, words)

    def _replace_caches(
        self,
        tensors: list[Tensor],
        keys: int,
        values: int,
        words: Mapping[str, int | float],
        context: int | None,
        chunk: int,
    ) -> tuple[int, int]:
        """Put changes in the place of the keys; return the numbers of the exact keys and of the marks."""
        head_dim, kv_heads = int(words["head_dim"]), int(words["kv_heads"])
        capacity = tensors[values].shape[0] if context is None else context
        if not chunk <= capacity <= (1 << 31) // head_dim - 1:
            message = f"a context of {capacity} tokens for runs of {chunk}"
            raise InputError("CONTEXT_RANGE", message, f"ask for at least {chunk}")
        prefix = tensors[keys].name.removesuffix("k_cache")
        rows = 1 + self.sinks + self._ring(capacity, chunk)
        tensors[values] = state_tensor(tensors[values].name, self.cache, (capacity, kv_heads * head_dim))
        tensors[keys] = state_tensor(f"{prefix}deltas", self.cache, (kv_heads, capacity * head_dim))
        tensors.append(state_tensor(f"{prefix}exact_keys", DType.F32, (rows, kv_heads * head_dim)))
        tensors.append(state_tensor(f"{prefix}marks", DType.S32, (kv_heads, capacity + 2, mark_words(head_dim))))
        return len(tensors) - 2, len(tensors) - 1


@dataclass(frozen=True)
class DeltaSparsity:
    """Which share of the stored keys did not change, the mean over all layers, kv heads, tokens and elements.

    ``outside`` counts the ``tokens`` before the block of the last query, which are read as changes; ``of_all`` is
    ``outside`` times 1 - w/n for a window of w of the n tokens ``stored``, as DeltaLLM counts. ``layers`` holds
    ``outside`` for every layer. They count elements of keys only: values are stored and read whole.
    """

    stored: int
    tokens: int
    outside: float
    of_all: float
    layers: tuple[float, ...]


def delta_sparsity(session: Session, window: int) -> DeltaSparsity:
    """Return what the delta attention of a session skips at this moment, for a window of so many tokens."""
    plan: Plan = session.plan
    layers, stored, outside = [], 0, 0
    for step in plan.steps:
        if step.op is not Op.DELTA_ATTENTION:
            continue
        tensor = plan.tensors[step.inputs[7]]
        marks = session.state(tensor.name).reshape(tensor.shape)
        stored = int(marks[0, 0, 0])
        outside = max(0, stored - 1) // max(1, window) * max(1, window)
        kept = float(marks[:, 1 + outside, 0].mean()) if outside else 0.0
        layers.append(1 - kept / max(1, outside * int(step.attributes["head_dim"])) if outside else 0.0)
    mean = sum(layers) / max(1, len(layers))
    return DeltaSparsity(stored, outside, mean, mean * max(0.0, 1 - window / max(1, stored)), tuple(layers))

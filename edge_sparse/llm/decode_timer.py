"""``DecodeTimer``: a language model's session whose caches pretend to hold some tokens, for measurements."""

from __future__ import annotations

import time
from types import TracebackType

import numpy as np

from edge_sparse.plan import Model, Op, Plan, Storage
from edge_sparse.session import Session

__all__ = ["DecodeTimer", "cache_bytes", "is_language_model", "weight_bytes"]


class DecodeTimer:
    """Times single tokens and prompts at any depth.

    The time of a token does not depend on what the caches of exact attention hold, so they are filled with random
    numbers instead of the keys of a prompt, which takes no time at any depth.

    Parameters
    ----------
    model : Model
        A language model; its caches hold ``context`` tokens.
    threads : int
    backend : str
    window : int
        Delta attention's window in tokens.
    seed : int
        Of cache contents and tokens.
    """

    def __init__(
        self, model: Model, *, threads: int = 1, backend: str = "auto", window: int = 1, seed: int = 0
    ) -> None:
        self.session = Session.from_model(model, backend=backend, threads=threads, plan="generate")
        plan = self.session.plan
        self.context = cached_tokens(plan)
        self.chunk = plan.symbol_max
        self._random = np.random.default_rng(seed)
        self._vocabulary = plan.tensors[plan.outputs[0]].shape[-1]
        self._position = np.zeros(plan.tensors[plan.inputs[1]].shape, np.int32)
        # Delta attention reads the length of its window beside the position.
        self._position[1:] = window

    def fill(self, depth: int) -> None:
        """Make the caches hold ``depth`` tokens.

        Random numbers do for exact attention. Delta attention keeps its tokens in a form of its own, so there a random
        prompt is read.
        """
        plan = self.session.plan
        if any(step.op is Op.DELTA_ATTENTION for step in plan.steps):
            self.prefill(depth)
            return
        for name in [plan.tensors[number].name for number in state_tensors(plan)]:
            cache = self.session.state(name)
            if cache.dtype.kind == "f":
                # Of one sign, as scales must be, and far from every exponent's end.
                cache[...] = np.resize(self._random.uniform(0.005, 0.01, 4099).astype(cache.dtype), cache.shape)
            else:
                numbers = self._random.integers(0, 256, 4099, np.uint8).view(cache.dtype)
                cache[...] = np.resize(numbers, cache.shape)

    def decode(self, depth: int, tokens: int) -> list[float]:
        """Return the seconds of each of some single tokens, the first of which finds ``depth`` tokens in the caches."""
        return [self._run(1, depth + number) for number in range(tokens)]

    def prefill(self, tokens: int) -> float:
        """Return the seconds that a prompt of random tokens takes, in chunks as large as the plan allows."""
        return sum(self._run(min(self.chunk, tokens - at), at) for at in range(0, tokens, self.chunk))

    def _run(self, tokens: int, position: int) -> float:
        ids = self._random.integers(0, self._vocabulary, tokens, np.int32)
        self._position[0] = position
        start = time.perf_counter()
        self.session.run({"ids": ids, "position": self._position})
        return time.perf_counter() - start

    def close(self) -> None:
        """Stop the session's threads."""
        self.session.close()

    def __enter__(self) -> DecodeTimer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def is_language_model(model: Model) -> bool:
    """Tell whether a model has a plan ``generate`` with caches."""
    return any(plan.name == "generate" and state_tensors(plan) for plan in model.plans)


def state_tensors(plan: Plan) -> list[int]:
    """Return the numbers of the tensors that a plan's attention steps keep, caches before their scales."""
    used = {number for step in plan.steps for number in step.inputs if number >= 0}
    return [number for number in sorted(used) if plan.tensors[number].storage is Storage.STATE]


def cached_tokens(plan: Plan) -> int:
    """Return how many tokens the caches hold: the rows of the values, which no attention stores in another form."""
    tensors = [plan.tensors[number] for number in state_tensors(plan)]
    return min(tensor.shape[0] for tensor in tensors if tensor.name.endswith("v_cache"))


def weight_bytes(model: Model, plan: str = "generate") -> int:
    """Return the bytes of weights, scales and masks that the products of one token read."""
    total = 0
    for step in model.plan(plan).steps:
        if step.op is Op.SPMM:
            matrix = model.matrices[int(step.attributes["matrix"])]
            total += sum(part.nbytes for part in (matrix.values, matrix.scales, matrix.kept) if part is not None)
    return total


def cache_bytes(model: Model, depth: int, plan: str = "generate") -> int:
    """Return the bytes of cache that exact attention reads for the token after ``depth`` others, its own included."""
    chosen = model.plan(plan)
    tensors = [chosen.tensors[number] for number in state_tensors(chosen)]
    return sum(tensor.extent[1] - tensor.extent[0] for tensor in tensors) * (depth + 1) // cached_tokens(chosen)

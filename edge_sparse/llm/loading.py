"""``load``: from a file to a language model that is ready to generate."""

from __future__ import annotations

import os
from pathlib import Path

from edge_sparse.errors import InputError
from edge_sparse.llm.attention import AttentionMode, DeltaAttention, ExactAttention, with_attention
from edge_sparse.llm.language_model import LanguageModel
from edge_sparse.plan import DType, Model, Op
from edge_sparse.session import Session
from edge_sparse.tokenizer import TokenizerKind

__all__ = ["attention_mode", "from_model", "load"]

_CACHES = {"s8": DType.S8, "f16": DType.F16, "f32": DType.F32}


def load(
    path: str | os.PathLike[str],
    *,
    attention: str | AttentionMode = "exact",
    theta: float = 0.6,
    window: float = 0.05,
    sinks: int = 0,
    cache: str | None = None,
    context: int | None = None,
    threads: int | None = None,
    backend: str = "auto",
) -> LanguageModel:
    """Open a language model.

    Parameters
    ----------
    path : path
        An ``.egs`` file of a decoder.
    attention : {"exact", "delta"} or AttentionMode
        How keys are stored and read; fixed while the model is open.
    theta, window, sinks : float, float, int
        Of delta attention; see ``DeltaAttention``.
    cache : {"s8", "f16", "f32"}, optional
        Type of stored keys and values: by default s8 for exact and f16 for delta attention.
    context : int, optional
        Tokens that fit; as many as the file says by default.
    threads, backend : optional
        See ``edge_sparse.load``.

    Raises
    ------
    FileFormatError
        The file breaks a rule of the format.
    InputError
        ``NO_LANGUAGE_MODEL``; ``TOKENIZER_MISMATCH``; options out of range.
    BackendError
        The backend cannot run here, or the memory does not suffice.
    """
    from edge_sparse.format.reader import read_model

    mode = attention_mode(attention, theta=theta, window=window, sinks=sinks, cache=cache)
    model = read_model(Path(path))
    return from_model(model, mode, context=context, threads=threads, backend=backend, name=str(path))


def attention_mode(
    attention: str | AttentionMode,
    *,
    theta: float = 0.6,
    window: float = 0.05,
    sinks: int = 0,
    cache: str | None = None,
) -> AttentionMode:
    """Return the mode of a name and its options.

    Raises
    ------
    InputError
        ``ATTENTION_UNKNOWN``, ``ATTENTION_CACHE``, or an option is out of range.
    """
    if not isinstance(attention, str):
        return attention
    if cache is not None and cache not in _CACHES:
        raise InputError("ATTENTION_CACHE", f"a cache of {cache!r}", f"ask for {', '.join(_CACHES)}")
    if attention == "exact":
        return ExactAttention(_CACHES[cache or "s8"])
    if attention == "delta":
        return DeltaAttention(theta, window, sinks, _CACHES[cache or "f16"])
    raise InputError("ATTENTION_UNKNOWN", f"there is no attention {attention!r}", "ask for exact or delta")


def from_model(
    model: Model,
    mode: AttentionMode,
    *,
    context: int | None = None,
    threads: int | None = None,
    backend: str = "auto",
    name: str = "the model",
) -> LanguageModel:
    """Make a language model of a model in memory; see ``load``."""
    plan = next((plan for plan in model.plans if plan.name == "generate"), None)
    attention = next((step for step in plan.steps if step.op is Op.ATTENTION), None) if plan else None
    if plan is None or attention is None:
        hint = "use edge_sparse.load for other models, or convert a Hugging Face folder or llama2.c file"
        raise InputError("NO_LANGUAGE_MODEL", f"{name} holds no language model", hint)
    tokenizer, vocabulary = model.tokenizer, plan.tensors[plan.outputs[0]].shape[-1]
    if tokenizer:
        pieces = 256 if tokenizer.kind == TokenizerKind.BYTES else len(tokenizer.pieces)
        if pieces > vocabulary:
            message = f"{name} has a tokenizer of {pieces} pieces and a vocabulary of {vocabulary}"
            raise InputError("TOKENIZER_MISMATCH", message, "convert the model again with its own tokenizer")
    context = plan.tensors[attention.inputs[3]].shape[0] if context is None else context
    rewritten = with_attention(model, mode, context)
    session = Session.from_model(rewritten, backend=backend, threads=threads, plan="generate")
    return LanguageModel(rewritten, mode, context, session)

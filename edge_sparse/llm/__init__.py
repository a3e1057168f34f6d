"""Decoder language models: loading, tokenizers, sampling, generation and attention modes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_sparse.llm.attention import AttentionMode, DeltaAttention, ExactAttention
    from edge_sparse.llm.generation import Generation, GenerationStats
    from edge_sparse.llm.language_model import LanguageModel
    from edge_sparse.llm.loading import load
    from edge_sparse.llm.perplexity import Perplexity
    from edge_sparse.llm.sampling import Sampling

__all__ = [
    "AttentionMode",
    "DeltaAttention",
    "ExactAttention",
    "Generation",
    "GenerationStats",
    "LanguageModel",
    "Perplexity",
    "Sampling",
    "load",
]

# Hidden from type checkers, to which it would say that every name exists.
if not TYPE_CHECKING:
    # Imported when asked for: the process that renders chat templates needs none of it.
    _HOMES = {
        "AttentionMode": "attention",
        "DeltaAttention": "attention",
        "ExactAttention": "attention",
        "Generation": "generation",
        "GenerationStats": "generation",
        "LanguageModel": "language_model",
        "load": "loading",
        "Perplexity": "perplexity",
        "Sampling": "sampling",
    }

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value

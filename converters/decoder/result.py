"""What ``convert_decoder`` returns."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from edge_sparse.converters.decoder.checkpoint import Checkpoint
from edge_sparse.converters.decoder.options import DecoderOptions
from edge_sparse.converters.decoder.quality import Quality
from edge_sparse.converters.decoder.rounding import RoundingError
from edge_sparse.converters.decoder.weights import PackedWeights

from edge_sparse.plan import Model

__all__ = ["DecoderResult"]


@dataclass(frozen=True)
class DecoderResult:
    """A finished conversion; ``print(result)`` shows a summary.

    Parameters
    ----------
    path : Path, optional
        The file, if one was written.
    bytes : int, optional
        Its size.
    architecture : str
        What the source calls itself.
    parameters : int
        Weights of the source; a tied head counts once.
    density : float
        Kept share of the weights of all products.
    nmse, q4_0_nmse : float, optional
        Rounding error of integer weights as a share of their energy, on a sample of rows; and that of llama.cpp's Q4_0
        on the same kept weights.
    quality : Quality, optional
        Perplexity before and after.
    warnings : tuple of str
        What a person should know.
    model : Model
        The same as in the file; its values lie in a temporary file as long as it is used.
    """

    path: Path | None
    bytes: int | None
    architecture: str
    parameters: int
    density: float
    nmse: float | None
    q4_0_nmse: float | None
    quality: Quality | None
    warnings: tuple[str, ...]
    model: Model = field(repr=False)

    @classmethod
    def of(
        cls,
        path: Path | None,
        size: int | None,
        checkpoint: Checkpoint,
        options: DecoderOptions,
        packed: PackedWeights,
        model: Model,
        quality: Quality | None,
    ) -> DecoderResult:
        """Put together what the parts of a conversion found."""
        every = packed.weights.matrices
        products = [name for name in every if name != "embedding" or "head" not in every]
        whole = sum(every[name].rows * every[name].columns for name in products)
        error = sum((packed.errors[name] for name in products), RoundingError())
        integer = any(form.integer for form in (options.body, options.head))
        return cls(
            path,
            size,
            checkpoint.config.architecture,
            checkpoint.config.parameters,
            sum(every[name].kept_weights for name in products) / whole,
            error.nmse if integer else None,
            error.q4_0_nmse if integer else None,
            quality,
            tuple(_warnings(model, options, quality)),
            model,
        )

    def __str__(self) -> str:
        target = f"wrote {self.path}: {self.bytes:,} bytes" if self.path else "nothing written"
        caches = next(tensor for tensor in self.model.tensors if tensor.name.endswith(".k_cache"))
        lines = [
            f"{target}, {self.architecture} of {self.parameters:,} weights, {self.density:.1%} of its products' kept",
            f"context {caches.shape[0]} tokens, up to {self.model.plans[0].symbol_max} a run",
        ]
        if self.nmse is not None:
            lines.append(f"rounding error (NMSE) {self.nmse:.2e}; Q4_0 of the same weights {self.q4_0_nmse:.2e}")
        if self.quality is not None:
            lines.append(_quality_line(self.quality))
        return "\n".join([*lines, *(f"warning: {warning}" for warning in self.warnings)])


def _quality_line(quality: Quality) -> str:
    before = "not measured" if quality.before is None else f"{quality.before:.4g}"
    return f"perplexity on {quality.tokens} tokens of {quality.text}: {before} before, {quality.after:.4g} after"


def _warnings(model: Model, options: DecoderOptions, quality: Quality | None) -> list[str]:
    warnings = []
    if model.tokenizer is None:
        warnings.append("no tokenizer was found, so text cannot be generated; name one with --tokenizer")
    if options.lossy and quality is None:
        warnings.append("perplexity was not measured")
    if quality is not None and (quality.warning or not math.isfinite(quality.after)):
        warnings.append(quality.warning or "perplexity is not finite: this model is not usable")
    return warnings

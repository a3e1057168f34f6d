"""The shape of a decoder language model, whatever file it came from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import ConvertError
from edge_sparse.format.spec import MATRIX_LIMIT, WINDOW_LIMIT

__all__ = ["DecoderConfig", "inverse_frequencies"]

#: More layers than this do not fit a plan of 8192 steps, two plans to a file.
LAYER_LIMIT = 192


@dataclass(frozen=True)
class DecoderConfig:
    """A decoder of the Llama family: RMS norms, rotary positions, grouped-query attention and a gated feed-forward.

    Parameters
    ----------
    architecture : str
        What the source calls it, for people.
    dim, layers, heads, kv_heads, head_dim, ffn, vocab : int
        Sizes; ``heads`` query heads share ``kv_heads`` key and value heads of ``head_dim`` numbers.
    context : int
        Tokens that the model was trained for, or that its cache shall hold.
    epsilon : float
        Added to the mean square in every norm.
    frequencies : tuple of float, length head_dim / 2
        Radians per position of every rotated pair, scaling of long contexts included.
    interleaved : bool
        Pairs are neighbours (2i, 2i+1) instead of (i, i + head_dim / 2).
    tied : bool
        The head is the embedding.
    qkv_bias, output_bias, ffn_bias, head_norms : bool
        Biases of the query, key and value projections, of the attention's output projection, of the feed-forward;
        norms of every head's queries and keys.
    """

    architecture: str
    dim: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    context: int
    epsilon: float
    frequencies: tuple[float, ...]
    interleaved: bool = False
    tied: bool = True
    qkv_bias: bool = False
    output_bias: bool = False
    ffn_bias: bool = False
    head_norms: bool = False

    def __post_init__(self) -> None:
        """Refuse shapes that no decoder has; the source may be anybody's file."""
        for name in ("dim", "layers", "heads", "kv_heads", "head_dim", "ffn", "vocab", "context"):
            limit = {"layers": LAYER_LIMIT, "vocab": MATRIX_LIMIT, "context": MATRIX_LIMIT}.get(name, WINDOW_LIMIT)
            value = getattr(self, name)
            if not isinstance(value, int) or not 0 < value <= limit:
                raise _wrong(f"{name} is {value!r}, not 1 to {limit}")
        if self.heads % self.kv_heads:
            raise _wrong(f"{self.kv_heads} key and value heads do not divide {self.heads} heads")
        if self.head_dim % 2 or len(self.frequencies) != self.head_dim // 2:
            raise _wrong(f"heads of {self.head_dim} numbers with {len(self.frequencies)} rotated pairs")
        if not (math.isfinite(self.epsilon) and self.epsilon >= 0 and np.isfinite(self.frequencies).all()):
            raise _wrong("epsilon or a frequency of the rotary embedding is not a number")

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every weight, in the order of use; matrices are (outputs, inputs)."""
        result: dict[str, tuple[int, ...]] = {"embedding": (self.vocab, self.dim)}
        for layer in range(self.layers):
            result |= {f"layers.{layer}.{name}": shape for name, shape in self._layer().items()}
        result["norm"] = (self.dim,)
        if not self.tied:
            result["head"] = (self.vocab, self.dim)
        return result

    def _layer(self) -> dict[str, tuple[int, ...]]:
        query, key = self.heads * self.head_dim, self.kv_heads * self.head_dim
        result: dict[str, tuple[int, ...]] = {"attention_norm": (self.dim,)}
        for name, width in (("q", query), ("k", key), ("v", key)):
            result[name] = (width, self.dim)
            if self.qkv_bias:
                result[f"{name}_bias"] = (width,)
        if self.head_norms:
            result |= {"q_norm": (self.head_dim,), "k_norm": (self.head_dim,)}
        result |= {"o": (self.dim, query), "ffn_norm": (self.dim,)}
        result |= {"gate": (self.ffn, self.dim), "up": (self.ffn, self.dim), "down": (self.dim, self.ffn)}
        if self.output_bias:
            result["o_bias"] = (self.dim,)
        if self.ffn_bias:
            result |= {"gate_bias": (self.ffn,), "up_bias": (self.ffn,), "down_bias": (self.dim,)}
        return result

    @property
    def parameters(self) -> int:
        """Number of weights; a tied head counts once."""
        return sum(math.prod(shape) for shape in self.tensors.values())


def inverse_frequencies(head_dim: int, theta: float, scaling: Mapping[str, object] | None = None) -> tuple[float, ...]:
    """Return the radians per position of every rotated pair.

    Parameters
    ----------
    head_dim : int
        Numbers per head; pair i turns by ``theta ** (-2 i / head_dim)``.
    theta : float
        Base, 10000 in the first models.
    scaling : mapping, optional
        As Hugging Face's ``rope_scaling``: ``rope_type`` "default", "linear" or "llama3" with its numbers.

    Raises
    ------
    ConvertError
        ``ROPE_UNSUPPORTED``: another kind of scaling. ``CONFIG_VALUE``: a number is missing or impossible.
    """
    if head_dim < 2 or not (math.isfinite(theta) and theta > 0):
        raise _wrong(f"rotary embedding of {head_dim} numbers with base {theta}")
    base: npt.NDArray[np.float64] = theta ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    settings = dict(scaling or {})
    kind = settings.get("rope_type", settings.get("type", "default"))
    if kind == "default":
        return tuple(base.tolist())
    if kind == "linear":
        return tuple((base / _number(settings, "factor")).tolist())
    if kind == "llama3":
        return tuple(_llama3(base, settings).tolist())
    raise ConvertError(
        "ROPE_UNSUPPORTED",
        f"rotary embedding of type {kind!r} is not supported",
        "known types are default, linear and llama3",
    )


def _llama3(base: npt.NDArray[np.float64], settings: Mapping[str, object]) -> npt.NDArray[np.float64]:
    """Slow wavelengths beyond the trained context by ``factor``, keep short ones, blend those between."""
    low, high = _number(settings, "low_freq_factor"), _number(settings, "high_freq_factor")
    trained = _number(settings, "original_max_position_embeddings")
    if high <= low:
        raise _wrong(f"high_freq_factor {high} is not above low_freq_factor {low}")
    turns = trained * base / (2 * math.pi)
    blend = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return np.asarray(base * (blend + (1 - blend) / _number(settings, "factor")))


def _number(settings: Mapping[str, object], name: str) -> float:
    value = settings.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (math.isfinite(value) and value > 0):
        raise _wrong(f"{name} of the rotary scaling is {value!r}")
    return float(value)


def _wrong(problem: str) -> ConvertError:
    return ConvertError("CONFIG_VALUE", f"the model's configuration is impossible: {problem}", "check its files")

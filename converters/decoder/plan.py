"""From a configuration and packed weights to a model with two plans: one to generate text, one to score it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.decoder.arena import Buffers, buffers_of
from edge_sparse.converters.decoder.config import DecoderConfig

from edge_sparse.format.ops import OPS
from edge_sparse.plan import (
    CACHE_BLOCK,
    Activation,
    DType,
    Model,
    Op,
    Plan,
    SparseMatrix,
    Step,
    Storage,
    Tensor,
    Tokenizer,
    row_major_strides,
)

__all__ = ["DecoderWeights", "decoder_model"]

#: Values of a product's words where it is a linear layer, and of an activation's where there is none.
_DEFAULTS = {"kernel_h": 1, "kernel_w": 1, "stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1}
#: A kernel goes through the strips of a matrix outermost when it is larger than what a core keeps of it in its cache.
_CACHED_BYTES = 256 << 10
_INTEGERS = (DType.S8, DType.S4, DType.TERNARY)


@dataclass(frozen=True)
class DecoderWeights:
    """Weights by the names of ``DecoderConfig.tensors``.

    ``matrices`` holds all products. The embedding is a matrix, or a table of float16 or float32 in ``vectors``; a
    model without ``head`` uses the embedding's matrix.
    """

    matrices: Mapping[str, SparseMatrix]
    vectors: Mapping[str, npt.NDArray[np.generic]]


def decoder_model(
    config: DecoderConfig,
    weights: DecoderWeights,
    *,
    chunk: int = 128,
    context: int | None = None,
    tokenizer: Tokenizer | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Model:
    """Return the model: plans ``generate`` (logits of the last token) and ``score`` (logits of every token).

    Parameters
    ----------
    config : DecoderConfig
    weights : DecoderWeights
    chunk : int
        Tokens that one run may bring, at most; not more than ``context``.
    context : int, optional
        Rows of the caches, by default the model's own context.
    """
    context = context or config.context
    builder = _Builder(config, weights, min(chunk, context), context)
    steps = builder.layers()
    plans = [("generate", *builder.generate()), ("score", *builder.score())]
    tensors = tuple(builder.tensors)
    return Model(
        tuple(
            Plan(
                name,
                tensors,
                (*steps, *own),
                builder.inputs,
                (logits,),
                builder.buffers.bytes,
                "tokens",
                builder.chunk,
            )
            for name, own, logits in plans
        ),
        tuple(weights.matrices.values()),
        builder.state_bytes,
        tokenizer=tokenizer,
        metadata=dict(metadata or {}),
    )


@dataclass
class _Builder:
    """Collects tensors and steps; the methods that end a step return the number of its result."""

    config: DecoderConfig
    weights: DecoderWeights
    chunk: int
    context: int
    tensors: list[Tensor] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    state_bytes: int = 0

    def __post_init__(self) -> None:
        self.buffers: Buffers = buffers_of(self.config, self.chunk)
        self.matrix_numbers = {name: number for number, name in enumerate(self.weights.matrices)}
        self.ids = self._tensor("ids", (self.chunk,), Storage.INPUT, DType.S32, symbolic=True)
        self.position = self._tensor("position", (1,), Storage.INPUT, DType.S32)
        self.inputs = (self.ids, self.position)
        frequencies = np.array(self.config.frequencies, np.float32)
        self.frequencies = self._constant("inverse_frequencies", frequencies)

    def layers(self) -> tuple[Step, ...]:
        """Add the steps that both plans begin with; the last result is the residual stream."""
        self.x = self._embedding()
        for layer in range(self.config.layers):
            self.x = self._feed_forward(f"layers.{layer}", self._attention(f"layers.{layer}", self.x))
        steps, self.steps = tuple(self.steps), []
        return steps

    def generate(self) -> tuple[tuple[Step, ...], int]:
        """Return the last steps of plan ``generate`` and its output."""
        last = self._tensor("last", (1, self.config.dim), offset=self.buffers.last)
        self._add(Op.TAKE_LAST, "last", (self.x,), last)
        y = self._tensor("last.norm", (1, self.config.dim), offset=self.buffers.normed)
        return self._head(last, y, self._tensor("logits", (1, self.config.vocab), Storage.OUTPUT))

    def score(self) -> tuple[tuple[Step, ...], int]:
        """Return the last steps of plan ``score`` and its output."""
        y = self._rows("norm", self.config.dim, self.buffers.normed)
        shape = (self.chunk, self.config.vocab)
        return self._head(self.x, y, self._tensor("logits", shape, Storage.OUTPUT, symbolic=True))

    def _head(self, x: int, normed: int, logits: int) -> tuple[tuple[Step, ...], int]:
        self._norm("norm", x, normed)
        self._linear("head" if "head" in self.matrix_numbers else "embedding", normed, logits, name="head")
        steps, self.steps = tuple(self.steps), []
        return steps, logits

    def _embedding(self) -> int:
        y = self._rows("x", self.config.dim, self.buffers.stream[0])
        table = self._vector("embedding") if "embedding" in self.weights.vectors else -1
        matrix = -1 if table >= 0 else self.matrix_numbers["embedding"]
        self._add(Op.EMBEDDING, "embedding", (self.ids, table), y, matrix=matrix)
        return y

    def _attention(self, name: str, x: int) -> int:
        config, place = self.config, self.buffers
        query, key = config.heads * config.head_dim, config.kv_heads * config.head_dim
        h = self._norm(f"{name}.attention_norm", x, self._rows(f"{name}.h", config.dim, place.normed))
        v = self._linear(f"{name}.v", h, self._rows(f"{name}.v", key, place.value))
        q = self._turned(name, "q", h, query, place.queries)
        k = self._turned(name, "k", h, key, place.keys)
        caches = [self._cache(f"{name}.{kind}_cache", key) for kind in "kv"]
        a = self._rows(f"{name}.attention", query, place.attended)
        heads = {"heads": config.heads, "kv_heads": config.kv_heads, "head_dim": config.head_dim}
        inputs = (q, k, v, *caches, self.position)
        self._add(Op.ATTENTION, f"{name}.attention", inputs, a, **heads, scale=config.head_dim**-0.5)
        return self._linear(f"{name}.o", a, self._rows(f"{name}.x", config.dim, place.stream[1]), residual=x)

    def _turned(self, name: str, kind: str, h: int, width: int, places: tuple[int, int]) -> int:
        """Project to queries or keys, norm every head if the model does, and rotate."""
        config, (first, second) = self.config, places
        y = self._linear(f"{name}.{kind}", h, self._rows(f"{name}.{kind}", width, first))
        if config.head_norms:
            shape = (self.chunk, width // config.head_dim, config.head_dim)
            split = self._tensor(f"{name}.{kind}", shape, offset=first, symbolic=True)
            normed = self._tensor(f"{name}.{kind}_norm", shape, offset=second, symbolic=True)
            self._norm(f"{name}.{kind}_norm", split, normed)
            y, second = self._rows(f"{name}.{kind}_norm", width, second), first
        turned = self._rows(f"{name}.{kind}_rope", width, second)
        words = {"head_dim": config.head_dim, "interleaved": int(config.interleaved)}
        return self._add(Op.ROPE, f"{name}.{kind}_rope", (y, self.position, self.frequencies), turned, **words)

    def _feed_forward(self, name: str, x: int) -> int:
        config, place = self.config, self.buffers
        h = self._norm(f"{name}.ffn_norm", x, self._rows(f"{name}.h", config.dim, place.normed))
        gate = self._rows(f"{name}.gate", config.ffn, place.gate)
        self._linear(f"{name}.gate", h, gate, activation=Activation.SILU)
        up = self._linear(f"{name}.up", h, self._rows(f"{name}.up", config.ffn, place.up))
        # Over its first input, which nobody needs afterwards.
        product = self._rows(f"{name}.mul", config.ffn, place.gate)
        self._add(Op.MUL, f"{name}.mul", (gate, up), product)
        y = self._rows(f"{name}.y", config.dim, place.stream[0])
        return self._linear(f"{name}.down", product, y, residual=x)

    def _norm(self, weight: str, x: int, y: int) -> int:
        return self._add(Op.RMS_NORM, weight, (x, self._vector(weight)), y, epsilon=self.config.epsilon)

    def _linear(
        self,
        matrix: str,
        x: int,
        y: int,
        *,
        residual: int = -1,
        activation: Activation = Activation.NONE,
        name: str = "",
    ) -> int:
        number = self.matrix_numbers[matrix]
        packed = self.weights.matrices[matrix]
        bias = self._vector(f"{matrix}_bias") if f"{matrix}_bias" in self.weights.vectors else -1
        words = {
            "matrix": number,
            "activation": int(activation),
            "strips_outermost": int(packed.values.nbytes > _CACHED_BYTES),
            "quantise_x": int(packed.dtype in _INTEGERS),
        }
        return self._add(Op.SPMM, name or matrix, (x, bias, residual), y, **words)

    def _add(self, op: Op, name: str, inputs: tuple[int, ...], y: int, **words: float) -> int:
        attributes = {word: words.get(word, _DEFAULTS.get(word, 0)) for word, _ in OPS[op].attributes}
        self.steps.append(Step(op, name, inputs, (y,), attributes))
        return y

    def _rows(self, name: str, width: int, offset: int) -> int:
        """Add an arena tensor of one row per token."""
        return self._tensor(name, (self.chunk, width), offset=offset, symbolic=True)

    def _cache(self, name: str, width: int) -> int:
        rows = -(-self.context // CACHE_BLOCK) * CACHE_BLOCK
        number = self._tensor(name, (rows, width), Storage.STATE, offset=self.state_bytes)
        self.state_bytes = -(-self.tensors[number].extent[1] // 64) * 64
        return number

    def _vector(self, name: str) -> int:
        """Add a constant once."""
        known = [
            i for i, tensor in enumerate(self.tensors) if tensor.storage is Storage.CONSTANT and tensor.name == name
        ]
        return known[0] if known else self._constant(name, self.weights.vectors[name])

    def _constant(self, name: str, data: npt.NDArray[Any]) -> int:
        dtype = DType.F16 if data.dtype == np.float16 else DType.F32
        return self._tensor(name, data.shape, Storage.CONSTANT, dtype, data=data)

    def _tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        storage: Storage = Storage.ARENA,
        dtype: DType = DType.F32,
        *,
        offset: int = 0,
        symbolic: bool = False,
        data: npt.NDArray[Any] | None = None,
    ) -> int:
        """Add a tensor without gaps between its elements."""
        size = dtype.numpy.itemsize * int(np.prod(shape, dtype=np.int64))
        tensor = Tensor(
            name,
            dtype,
            shape,
            storage=storage,
            offset=offset,
            strides=row_major_strides(shape),
            extent=(offset, offset + size),
            data=data,
            symbol_axis=0 if symbolic else -1,
        )
        self.tensors.append(tensor)
        return len(self.tensors) - 1

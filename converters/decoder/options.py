"""What a user can ask of the conversion of a decoder."""

from __future__ import annotations

from dataclasses import dataclass

from edge_sparse.converters.decoder.config import DecoderConfig
from edge_sparse.converters.decoder.pack import WeightFormat
from edge_sparse.converters.pruning.options import check_group, check_sparsity

from edge_sparse.errors import ConvertError
from edge_sparse.format.spec import ARENA_LIMIT
from edge_sparse.plan import DType

__all__ = ["DTYPES", "DecoderOptions"]

DTYPES = {"f32": DType.F32, "f16": DType.F16, "s8": DType.S8, "s4": DType.S4}
#: Rows of the caches unless more are asked for: half a gigabyte of float32 for a model of a billion weights.
_CONTEXT = 8192


@dataclass(frozen=True)
class DecoderOptions:
    """How to store a decoder's weights, and how much its plans can hold.

    Parameters
    ----------
    dtype, head_dtype : {"f32", "f16", "s8", "s4"}
        Type of the stored weights; the head's is the same by default.
    sparsity, head_sparsity : float
        Share of the groups to drop from every matrix, those of least magnitude; the head's is the same by default.
    group : int
        Rows that are kept or dropped together.
    segment : int
        Kept columns that share a scale of integer weights.
    chunk : int
        Tokens that a run may bring.
    context : int, optional
        Rows of the caches; by default the model's context, 8192 at most.
    """

    dtype: str = "f32"
    head_dtype: str | None = None
    sparsity: float = 0.0
    head_sparsity: float | None = None
    group: int = 16
    segment: int = 32
    chunk: int = 128
    context: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible wishes."""
        for dtype in (self.dtype, self.head_dtype or self.dtype):
            if dtype not in DTYPES:
                raise ConvertError(
                    "DTYPE_UNSUPPORTED", f"dtype {dtype!r} is unknown", f"choose from {', '.join(DTYPES)}"
                )
        for sparsity in (self.sparsity, self.head_sparsity or 0.0):
            check_sparsity(sparsity)
        check_group(self.group)
        if self.segment <= 0 or self.segment % 8:
            raise ConvertError("OPTION_RANGE", f"segments of {self.segment} columns", "choose a multiple of 8")
        if not 1 <= self.chunk <= 4096:
            raise ConvertError("OPTION_RANGE", f"runs of {self.chunk} tokens", "choose 1 to 4096")
        if self.context is not None and self.context < 1:
            raise ConvertError("OPTION_RANGE", f"a context of {self.context} tokens", "choose at least 1")

    @property
    def body(self) -> WeightFormat:
        """Format of the layers' matrices."""
        return WeightFormat(DTYPES[self.dtype], self.sparsity, self.group, self.segment)

    @property
    def head(self) -> WeightFormat:
        """Format of the head."""
        sparsity = self.sparsity if self.head_sparsity is None else self.head_sparsity
        return WeightFormat(DTYPES[self.head_dtype or self.dtype], sparsity, self.group, self.segment)

    @property
    def shares_head(self) -> bool:
        """Whether a tied head and the embedding are one matrix: integers, whole, and no coarser than the others."""
        head = self.head
        return self.body.integer and not head.sparsity and head.dtype in (DType.S8, self.body.dtype)

    @property
    def lossy(self) -> bool:
        """Whether the result computes something else than the source, beyond rounding to half precision."""
        return any(form.integer or form.sparsity for form in (self.body, self.head))

    def rows(self, config: DecoderConfig) -> int:
        """Return the rows of the caches.

        Raises
        ------
        ConvertError
            ``CONTEXT_RANGE``: more than the model was trained for, or than a file may ask for.
        """
        row = 8 * config.layers * config.kv_heads * config.head_dim
        rows = self.context or min(config.context, _CONTEXT, ARENA_LIMIT // row)
        if rows > config.context:
            message = f"a context of {rows} tokens exceeds the {config.context} that the model was made for"
            raise ConvertError("CONTEXT_RANGE", message, f"ask for {config.context} at most")
        if rows * row > ARENA_LIMIT:
            message = f"caches of {rows} tokens take {rows * row} bytes, more than {ARENA_LIMIT}"
            raise ConvertError("CONTEXT_RANGE", message, f"ask for {ARENA_LIMIT // row} at most")
        return rows

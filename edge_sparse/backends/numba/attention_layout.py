"""Where kernels keep the keys and values of a cache: 16 tokens together, so that scores of 16 tokens fill a vector.

A kv head's part of a cache is contiguous. Element d of token t lies, in elements from the part's beginning, at

- keys: ``t // 16 * 16 D + 16 d + t % 16``; values: ``t D + d``;
- for the byte dot product, keys: ``t // 16 * 16 D + d // 4 * 64 + t % 16 * 4 + d % 4`` (tiles of 16 tokens x 4 dims);
  values: ``t // 4 * 4 D + 4 d + t % 4`` (tiles of 16 dims x 4 tokens).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_sparse.backends.numba.simd import KernelBuilder
from edge_sparse.backends.numba.target import Target
from edge_sparse.plan import CACHE_BLOCK, DType

__all__ = ["AttentionLayout", "choose_layout"]

#: With more dims a sum of products of 8 and 16 bits might not fit 32 bits.
_DOT_DIMS = 512


@dataclass(frozen=True)
class AttentionLayout:
    """Type, head dimension and arrangement of caches; ``dot``: byte dot products (VNNI) read them."""

    dtype: DType
    head_dim: int
    dot: bool

    @property
    def name(self) -> str:
        """Part of a kernel's name; it tells the arrangement."""
        return f"{self.dtype.name.lower()}{'_vnni' if self.dot else ''}_d{self.head_dim}"

    def vector(self, lanes: int) -> int:
        """Return the lanes of the widest vectors, of at most so many, that divide a head."""
        return min(lanes, self.head_dim & -self.head_dim)

    def element_type(self, k: KernelBuilder) -> Any:
        """Return the type of the stored elements."""
        return {DType.F32: k.f32, DType.F16: k.f16, DType.S8: k.i8}[self.dtype]

    def key_place(self, k: KernelBuilder, token: Any) -> Any:
        """Return where a token's key begins."""
        b, inside = k.b, k.b.and_(token, k.integer(CACHE_BLOCK - 1))
        block = b.mul(b.sub(token, inside), k.integer(self.head_dim))
        return b.add(block, b.mul(inside, k.integer(4)) if self.dot else inside)

    def key_dim(self, k: KernelBuilder, dim: Any) -> Any:
        """Return how far after that an element of the key lies."""
        if not self.dot:
            return k.b.mul(dim, k.integer(CACHE_BLOCK))
        inside = k.b.and_(dim, k.integer(3))
        return k.b.add(k.b.mul(k.b.sub(dim, inside), k.integer(CACHE_BLOCK)), inside)

    def value_place(self, k: KernelBuilder, token: Any) -> Any:
        """Return where a token's value begins."""
        b = k.b
        if not self.dot:
            return b.mul(token, k.integer(self.head_dim))
        inside = b.and_(token, k.integer(3))
        return b.add(b.mul(b.sub(token, inside), k.integer(self.head_dim)), inside)

    def value_dim(self, k: KernelBuilder, dim: Any) -> Any:
        """Return how far after that an element of the value lies."""
        return k.b.mul(dim, k.integer(4)) if self.dot else dim


def choose_layout(target: Target, dtype: DType, head_dim: int) -> AttentionLayout:
    """Return the arrangement that this processor reads fastest."""
    enabled = {feature[1:] for feature in target.features.split(",") if feature.startswith("+")}
    dot = target.lanes == CACHE_BLOCK and {"avx512vnni", "avx512bw"} <= enabled
    fits = dtype is DType.S8 and head_dim % CACHE_BLOCK == 0 and head_dim <= _DOT_DIMS
    return AttentionLayout(dtype, head_dim, dot and fits)

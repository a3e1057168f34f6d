"""Where state tensors lie: one behind the other, each from a multiple of 64 bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge_sparse.plan import DType, Storage, Tensor, row_major_strides

__all__ = ["lay_out_state", "state_tensor"]

_ALIGNMENT = 64


def state_tensor(name: str, dtype: DType, shape: tuple[int, ...]) -> Tensor:
    """Return a state tensor without gaps that has no place yet."""
    return Tensor(name, dtype, shape, storage=Storage.STATE, strides=row_major_strides(shape))


def lay_out_state(tensors: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], int]:
    """Give every state tensor a place of its own; return all tensors and the bytes of the state."""
    end, result = 0, []
    for tensor in tensors:
        if tensor.storage is Storage.STATE:
            size = tensor.size * tensor.dtype.numpy.itemsize
            tensor = replace(tensor, offset=end, extent=(end, end + size))
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        result.append(tensor)
    return tuple(result), end

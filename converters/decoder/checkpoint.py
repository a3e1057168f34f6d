"""The weights of a decoder where they lie: named arrays that are read a few rows at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.decoder.config import DecoderConfig

from edge_sparse.errors import ConvertError

__all__ = ["Checkpoint", "StoredTensor"]

#: Weights that are read at once.
_BLOCK = 1 << 21


@dataclass(frozen=True)
class StoredTensor:
    """An array in a file, which is read and not mapped: pages of a mapped file would count as memory in use.

    Parameters
    ----------
    origin : str
        What the source calls it, for messages.
    path : Path
        The file.
    offset : int
        Byte of the first element.
    shape : tuple of int
        Row-major.
    dtype : dtype
        float32, float16, or uint16 that are the upper halves of float32 numbers (bfloat16).
    """

    origin: str
    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def rows(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.float32]:
        """Return rows as float32.

        Raises
        ------
        ConvertError
            ``WEIGHTS_NOT_FINITE``: a number among them is NaN or infinite. ``SHARD_INVALID``: the file ended.
        """
        shape = (*(() if not self.shape else ((self.shape[0] if last is None else last) - first,)), *self.shape[1:])
        row, count = math.prod(self.shape[1:]), math.prod(shape)
        try:
            part = np.fromfile(self.path, self.dtype, count, offset=self.offset + first * row * self.dtype.itemsize)
        except OSError as error:
            raise ConvertError("SHARD_INVALID", f"{self.path}: {error.strerror}", "check the file") from None
        if part.size != count:
            raise ConvertError("SHARD_INVALID", f"{self.path} ends inside {self.origin}", "download the file again")
        halves = part.dtype == np.uint16
        result = (part.astype(np.uint32) << 16).view(np.float32) if halves else part.astype(np.float32, copy=False)
        if not np.isfinite(result).all():
            raise ConvertError(
                "WEIGHTS_NOT_FINITE",
                f"NaN or infinite numbers in {self.origin}",
                "repair these weights in the source model, or download it again",
            )
        return result.reshape(shape)


@dataclass(frozen=True)
class Checkpoint:
    """A decoder's configuration and its weights, by the names of ``DecoderConfig.tensors``.

    Raises
    ------
    ConvertError
        ``TENSOR_MISSING`` or ``TENSOR_SHAPE``: the weights are not those of the configuration.
    """

    config: DecoderConfig
    tensors: Mapping[str, StoredTensor]

    def __post_init__(self) -> None:
        """Compare all names and shapes before any work begins."""
        for name, shape in self.config.tensors.items():
            stored = self.tensors.get(name)
            if stored is None:
                raise ConvertError("TENSOR_MISSING", f"there are no weights for {name}", "download the model again")
            if stored.shape != shape:
                message = f"{stored.origin} has shape {stored.shape}, the configuration says {shape}"
                raise ConvertError("TENSOR_SHAPE", message, "check that configuration and weights belong together")

    def vector(self, name: str) -> npt.NDArray[np.float32]:
        """Return a whole tensor as float32."""
        return self.tensors[name].rows()

    def blocks(self, name: str, granule: int = 32) -> Iterator[npt.NDArray[np.float32]]:
        """Yield a matrix block by block; all but the last block have a multiple of ``granule`` rows."""
        rows, columns = self.tensors[name].shape
        step = max(1, _BLOCK // (columns * granule)) * granule
        for first in range(0, rows, step):
            yield self.tensors[name].rows(first, min(rows, first + step))

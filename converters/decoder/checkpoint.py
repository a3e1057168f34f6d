"""The weights of a decoder where they lie: named arrays that are read a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
    """An array in a mapped file.

    Parameters
    ----------
    origin : str
        What the source calls it, for messages.
    data : ndarray
        float32, float16, or uint16 that are the upper halves of float32 numbers (bfloat16).
    """

    origin: str
    data: npt.NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its axes."""
        return tuple(self.data.shape)

    def rows(self, first: int = 0, last: int | None = None) -> npt.NDArray[np.float32]:
        """Return rows as float32.

        Raises
        ------
        ConvertError
            ``WEIGHTS_NOT_FINITE``: a number among them is NaN or infinite.
        """
        part = self.data[first:last]
        result = (part.astype(np.uint32) << 16).view(np.float32) if part.dtype == np.uint16 else part.astype(np.float32)
        if not np.isfinite(result).all():
            raise ConvertError(
                "WEIGHTS_NOT_FINITE",
                f"NaN or infinite numbers in {self.origin}",
                "repair these weights in the source model, or download it again",
            )
        return result


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

"""What the converter needs of a source model: its graph, and the numbers that it computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Graph

__all__ = ["Arrays", "Source"]

Arrays = Mapping[str, npt.NDArray[Any]]


@runtime_checkable
class Source(Protocol):
    """A model that a frontend has read; ``frontends.torch_export.TorchSource`` is one."""

    @property
    def graph(self) -> Graph:
        """What the source computes, as the frontend read it."""
        ...

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        """Return the outputs by name, for inputs by name, in the source's own layout."""
        ...

    def values(self, arrays: Arrays, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """Return values of the unoptimised graph by name; images are (N, C, H, W)."""
        ...

    def masked(self, masks: Mapping[str, npt.NDArray[np.bool_]]) -> Source:
        """Return the same model with some parameters, by origin name, multiplied by masks of their shape."""
        ...

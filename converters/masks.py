"""Masks over the source's own parameters: which of them the converted model keeps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Graph
from edge_sparse.converters.pruning.layers import layers_of

from edge_sparse.errors import ConvertError

__all__ = ["Orders", "in_axes", "layers_without_origin", "source_masks"]

#: Per value name and axis: the indices of the old entries in their new order, None for an axis left alone.
Orders = Mapping[str, tuple[npt.NDArray[np.intp] | None, ...]]


def layers_without_origin(graph: Graph) -> list[str]:
    """Return the layers whose weight is no parameter of the source, so that no mask of the source can prune them."""
    return [layer.node for layer in layers_of(graph) if not graph.values[layer.weight].origin]


def source_masks(graph: Graph, pruned: Graph, orders: Orders) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which weights are kept, by origin name, in the order that the source has them.

    Parameters
    ----------
    graph : Graph
        Before pruning, in the order of channels that ``pruned`` has too.
    pruned : Graph
        The same nodes with zeros in their weights.
    orders : mapping
        How ``graph`` was rearranged: ``graph``'s data equal the source's data at these indices.

    Raises
    ------
    ConvertError
        ``WEIGHT_SHARED``: two layers share a parameter and were pruned differently.
    """
    masks: dict[str, npt.NDArray[np.bool_]] = {}
    for before, after in zip(layers_of(graph), layers_of(pruned), strict=True):
        origin = graph.values[before.weight].origin
        if not origin:
            continue
        mask = _in_source_order(after.data(pruned) != 0, orders.get(before.weight, ()))
        if origin in masks and not np.array_equal(masks[origin], mask):
            raise ConvertError(
                "WEIGHT_SHARED",
                f"layers share the parameter {origin}, and {before.node} would keep other weights of it",
                f"leave it dense: overrides={{'{before.node}': 'dense'}}",
            )
        masks[origin] = mask
    return masks


def _in_source_order(
    mask: npt.NDArray[np.bool_], order: tuple[npt.NDArray[np.intp] | None, ...]
) -> npt.NDArray[np.bool_]:
    if not order:
        return mask
    result = np.empty_like(mask)
    result[in_axes(order, mask.shape)] = mask
    return result


def in_axes(order: tuple[npt.NDArray[np.intp] | None, ...], shape: tuple[int, ...]) -> tuple[npt.NDArray[np.intp], ...]:
    """Return the index that takes an array of the source to the converter's order."""
    padded = (*order, *[None] * (len(shape) - len(order)))
    return np.ix_(*[np.arange(n) if index is None else index for index, n in zip(padded, shape, strict=True)])

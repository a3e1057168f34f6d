"""Which groups of several layers to keep, by magnitude: ranked by strip, by layer or all together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.pruning.groups import expand_groups, group_scores, group_sizes, keep_balanced, keep_best
from edge_sparse.converters.pruning.layers import LayerRequest
from edge_sparse.converters.pruning.options import PruneOptions

from edge_sparse.errors import PruningError

__all__ = ["magnitude_masks"]

Array = npt.NDArray[np.floating]


def magnitude_masks(
    requests: Sequence[LayerRequest], matrices: Mapping[str, Array], options: PruneOptions
) -> dict[str, npt.NDArray[np.bool_]]:
    """Return which weights to keep (True), by layer name.

    Parameters
    ----------
    requests : sequence of LayerRequest
        Layers to prune, each with its sparsity, group and taps.
    matrices : mapping of str to ndarray, shape (matrices, rows, columns)
        Weights by layer name, as ``groups.as_matrices`` returns them. The masks have the same shapes.
    options : PruneOptions
        ``scope`` and the ``sparsity`` of layers that are ranked together.

    Raises
    ------
    PruningError
        ``WEIGHTS_NOT_FINITE``: a layer holds NaN or infinite weights.
    """
    _check_finite(requests, matrices)
    scores, sizes, keeps = [], [], []
    keep_of_layer = keep_balanced if options.scope == "strip" else keep_best
    for request in requests:
        stack = matrices[request.layer.node]
        scores.append(np.stack([group_scores(matrix, request.group, "l1", request.taps) for matrix in stack]))
        size = group_sizes(stack.shape[1], stack.shape[2], request.group, request.taps)
        sizes.append(np.broadcast_to(size, scores[-1].shape))
        keeps.append(keep_of_layer(scores[-1], sizes[-1], request.sparsity))
    if options.scope == "global":
        _rank_together(keeps, requests, matrices, scores, sizes, options.sparsity)
    masks = {}
    for request, keep in zip(requests, keeps, strict=True):
        rows = matrices[request.layer.node].shape[1]
        masks[request.layer.node] = np.stack([expand_groups(k, rows, request.group, request.taps) for k in keep])
    return masks


def _check_finite(requests: Sequence[LayerRequest], matrices: Mapping[str, Array]) -> None:
    for request in requests:
        if not np.isfinite(matrices[request.layer.node]).all():
            raise PruningError(
                "WEIGHTS_NOT_FINITE",
                f"layer {request.layer.node} holds NaN or infinite weights",
                "repair the weights or leave the layer out with an override of sparsity 0",
            )


def _rank_together(
    keeps: list[npt.NDArray[np.bool_]],
    requests: Sequence[LayerRequest],
    matrices: Mapping[str, Array],
    scores: list[npt.NDArray[np.float64]],
    sizes: list[npt.NDArray[np.int64]],
    sparsity: float,
) -> None:
    """Replace ``keeps`` of all layers that share the sparsity; layers with one of their own stay ranked alone."""
    shared = [i for i, request in enumerate(requests) if request.sparsity == sparsity]
    if not shared:
        return
    weights = [matrices[requests[i].layer.node] for i in shared]
    scales = [float(np.sqrt(np.mean(np.square(stack, dtype=np.float64)))) for stack in weights]
    ranked = [scores[i].ravel() / (scale or 1.0) for i, scale in zip(shared, scales, strict=True)]
    kept = keep_best(np.concatenate(ranked), np.concatenate([sizes[i].ravel() for i in shared]), sparsity)
    for i, part in zip(shared, np.split(kept, np.cumsum([r.size for r in ranked])[:-1]), strict=True):
        keeps[i] = part.reshape(scores[i].shape)

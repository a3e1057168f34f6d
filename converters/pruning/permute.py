"""Whole-network rearrangement: permute channels so that groups keep more magnitude; outputs stay the same.

Rows that share a group should be important in the same columns. Rows are output channels, and whatever reads those
channels must be permuted with them (``channel_coupling``); within that, every block of coupled channels is free.
Published relatives: the channel rearrangement of SparseByteNN (2023) and of 1xN sparsity (Lin et al. 2021), and the
channel permutations for N:M sparsity (Pool and Yu 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Graph
from edge_sparse.converters.pruning.channel_blocks import Block, resolve
from edge_sparse.converters.pruning.channel_coupling import Coupling, couple
from edge_sparse.converters.pruning.channel_permutation import permuted
from edge_sparse.converters.pruning.layers import Layer, layers_of
from edge_sparse.converters.pruning.options import Scope, check_group, check_scope, check_sparsity
from edge_sparse.converters.pruning.row_search import RowMatrix, Window, improve, kept_share

from edge_sparse.errors import PruningError

__all__ = ["Gain", "Rearrangement", "rearrange"]

#: Exchanges of two rows that a usual desktop core tries per second, times columns.
TRIES_PER_SECOND = 8e8
#: More sweeps than this never paid.
MOST_SWEEPS = 30.0

Order = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Gain:
    """What rearranging one block of coupled channels brought.

    Parameters
    ----------
    layers : tuple of str
        Layers whose output channels these are.
    channels : int
        How many.
    before, after : float
        Share of their magnitude that the layers keep at the sparsity, in the old and the new order.
    """

    layers: tuple[str, ...]
    channels: int
    before: float
    after: float


@dataclass(frozen=True)
class Rearrangement:
    """A graph that computes the same with its channels in another order.

    Parameters
    ----------
    graph : Graph
        The new graph; names of nodes and values are unchanged.
    orders : dict of str to tuple of (ndarray or None)
        For every value that changed, constant or activation, one entry per axis: the index of the old entry at every
        new place, None for axes left alone. With all of them, ``new = old[np.ix_(...)]``.
    gains : tuple of Gain
        One per block of channels that was searched.
    """

    graph: Graph
    orders: dict[str, tuple[Order | None, ...]]
    gains: tuple[Gain, ...]


def rearrange(
    graph: Graph,
    groups: Mapping[str, int] | int,
    *,
    sparsity: Mapping[str, float] | float = 0.8,
    convolution_pattern: str = "tap",
    scope: Scope = "layer",
    seconds: float = 20.0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Rearrangement:
    """Permute channels so that pruning to groups keeps more magnitude.

    Prune the graph of the result afterwards. Inputs, outputs and everything around operations that are not understood
    keep their order.

    Parameters
    ----------
    graph : Graph
        Optimised; left as it is.
    groups : mapping of str to int, or int
        Rows per group of the layers to be pruned, by node name; a number stands for all but depthwise and stem.
    sparsity : mapping of str to float, or float
        Share of weights to be dropped, for all layers or by node name.
    convolution_pattern : {"tap", "kernel"}
        As in ``PruneOptions``.
    scope : {"layer", "strip", "global"}
        As in ``PruneOptions``: what the pruning afterwards will drop; "global" is taken for "layer".
    seconds : float
        Roughly the time to spend, in seconds of a usual desktop core; the work done follows from it and from nothing
        else, so that the result is the same everywhere. Small networks take less.
    seed : int
        Decides in which order rows are tried.
    progress : callable, optional
        Called with (done, total), both integers.

    Raises
    ------
    PruningError
        A group, sparsity or pattern is not a possible one, a layer is unknown, or weights are NaN or infinite.
    """
    if convolution_pattern not in ("tap", "kernel"):
        raise PruningError("OPTION_UNKNOWN", f"pattern {convolution_pattern!r} is unknown", "use tap or kernel")
    check_scope(scope)
    coupling = couple(graph)
    matrices = _matrices(graph, coupling, groups, sparsity, convolution_pattern, scope == "strip")
    blocks = _blocks(coupling, matrices)
    random = np.random.default_rng(seed)
    orders: dict[Block, Order] = {}
    gains = []
    for block, windows, sweeps, report in _work(blocks, seconds, progress or (lambda done, total: None)):
        before = kept_share(windows)
        orders[block] = improve(windows, sweeps, random, report)
        names = tuple(dict.fromkeys(window.matrix.name for window in windows))
        gains.append(Gain(names, block.size, before, kept_share(windows)))
    result, changed = permuted(graph, coupling, orders)
    return Rearrangement(result, changed, tuple(gains))


def _matrices(
    graph: Graph,
    coupling: Coupling,
    groups: Mapping[str, int] | int,
    sparsity: Mapping[str, float] | float,
    pattern: str,
    balanced: bool,
) -> dict[str, RowMatrix]:
    """Return the layers whose groups count, by the name of their weight."""
    layers = layers_of(graph)
    unknown = sorted(set(groups) - {layer.node for layer in layers}) if isinstance(groups, Mapping) else []
    if unknown:
        raise PruningError(
            "LAYER_UNKNOWN",
            f"groups name {', '.join(unknown)}, which the graph does not have",
            "name conv and linear nodes of the optimised graph",
        )
    found = {}
    for layer in layers:
        group = _group(layer, groups)
        share = sparsity.get(layer.node, 0.0) if isinstance(sparsity, Mapping) else sparsity
        check_sparsity(share)
        check_group(group)
        if group is None or group == 1 or share == 0 or layer.groups > 1 or (layer.weight, 0) not in coupling.axes:
            continue
        magnitudes = np.abs(layer.matrices(graph)[0]).astype(np.float32)
        if not np.isfinite(magnitudes).all():
            raise PruningError(
                "WEIGHTS_NOT_FINITE", f"layer {layer.node} holds NaN or infinite weights", "repair the weights"
            )
        if pattern == "kernel" and layer.taps > 1:
            magnitudes = magnitudes.reshape(len(magnitudes), layer.taps, -1).sum(axis=1)
        found[layer.weight] = RowMatrix(layer.node, magnitudes, group, share, balanced=balanced)
    return found


def _group(layer: Layer, groups: Mapping[str, int] | int) -> int | None:
    if isinstance(groups, Mapping):
        return groups.get(layer.node)
    return None if layer.operator in ("depthwise", "stem") else groups


def _blocks(coupling: Coupling, matrices: Mapping[str, RowMatrix]) -> dict[Block, list[Window]]:
    """Return the movable blocks that rows of matrices consist of, and where they lie."""
    blocks: dict[Block, list[Window]] = {}
    for name, matrix in matrices.items():
        start = 0
        for span in resolve(coupling.axes[name, 0]):
            if not span.block.pinned and span.block.size > 1 and span.repeat == 1:
                blocks.setdefault(span.block, []).append(Window(matrix, start, span.block.size))
            start += span.entries
    return blocks


def _work(
    blocks: Mapping[Block, list[Window]], seconds: float, progress: Callable[[int, int], None]
) -> list[tuple[Block, list[Window], float, Callable[[float], None]]]:
    """Share the time among blocks, all with the same number of sweeps, and turn sweeps into progress."""
    costs = [block.size * sum(window.rows.size for window in windows) for block, windows in blocks.items()]
    sweeps = min(MOST_SWEEPS, seconds * TRIES_PER_SECOND / max(1, sum(costs)))

    def reporter(before: int, cost: int) -> Callable[[float], None]:
        return lambda done: progress(before + round(cost * done / sweeps), sum(costs))

    return [
        (block, windows, sweeps, reporter(sum(costs[:i]), costs[i]))
        for i, (block, windows) in enumerate(blocks.items())
    ]

"""Applies an order of channels to a whole graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Graph, Node
from edge_sparse.converters.pruning.channel_blocks import Block, axis_order
from edge_sparse.converters.pruning.channel_coupling import Choice, Coupling
from edge_sparse.converters.pruning.magnitude import copy_graph

__all__ = ["permuted"]

Order = npt.NDArray[np.intp]


def permuted(
    graph: Graph, coupling: Coupling, orders: Mapping[Block, Order]
) -> tuple[Graph, dict[str, tuple[Order | None, ...]]]:
    """Permute every constant along its axes, and adapt the steps that copy chosen channels.

    Parameters
    ----------
    graph : Graph
        Left as it is.
    coupling : Coupling
        Of this graph.
    orders : mapping of Block to ndarray
        Index of the old channel at every new place; blocks that are not named keep their order.

    Returns
    -------
    Graph, dict
        The new graph, and for every value that changed one entry per axis: the order of its old entries or None.
    """
    result = copy_graph(graph)
    changed: dict[str, tuple[Order | None, ...]] = {}
    for (name, number), axis in coupling.axes.items():
        order = axis_order(axis, orders)
        if order is not None:
            others = changed.get(name, (None,) * len(coupling.shape(name)))
            changed[name] = (*others[:number], order, *others[number + 1 :])
    for name, whole in changed.items():
        value = graph.values[name]
        if value.data is not None:
            index = [np.arange(n) if o is None else o for o, n in zip(whole, value.data.shape, strict=True)]
            result.values[name] = dataclasses.replace(value, data=np.ascontiguousarray(value.data[np.ix_(*index)]))
    for node in result.nodes:
        if node.name in coupling.choices:
            _choose_again(node, coupling.choices[node.name], orders)
    return result, changed


def _choose_again(node: Node, choice: Choice, orders: Mapping[Block, Order]) -> None:
    """Let a step that copies channels pick them where they are now."""
    source, target = axis_order(choice.source, orders), axis_order(choice.target, orders)
    if source is None and target is None:
        return
    wanted = np.array(choice.wanted)
    if source is not None:
        place = np.append(np.argsort(source), -1)
        wanted = place[wanted]
    if target is not None:
        wanted = wanted[target]
    node.op, node.attributes = "select_channels", {"channels": tuple(int(channel) for channel in wanted)}

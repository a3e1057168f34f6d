"""Where a converted model and its source part: the outputs of all layers, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.comparison import relative_error
from edge_sparse.converters.graph import Graph, Node
from edge_sparse.converters.lower import lower
from edge_sparse.converters.masks import in_axes
from edge_sparse.converters.pruning.magnitude import copy_graph
from edge_sparse.converters.selection import Selection
from edge_sparse.converters.source import Arrays, Source

from edge_sparse.plan import DType
from edge_sparse.session import Session

__all__ = ["Truncation", "first_wrong_node", "layer_errors"]


class Truncation:
    """Runs parts of a selection's graph beside its source.

    Parameters
    ----------
    source : Source
        With the masks of the selection.
    layout, dtype, backend
        As the model is lowered and run.
    arrays : mapping of str to ndarray
        One batch of inputs.
    """

    def __init__(
        self, source: Source, selection: Selection, layout: str, dtype: DType, backend: str, arrays: Arrays
    ) -> None:
        self.selection, self.layout, self.dtype, self.backend, self.arrays = selection, layout, dtype, backend, arrays
        known, graph = source.graph.values, selection.graph
        names = [n.outputs[0] for n in graph.nodes if n.outputs[0] in known and known[n.outputs[0]].data is None]
        self._expected = source.values(arrays, names)
        #: Nodes whose output the source can tell, in order of execution.
        self.nodes = [node for node in graph.nodes if node.outputs[0] in self._expected]

    def errors(self, nodes: Sequence[Node]) -> dict[str, float]:
        """Return the relative error of some nodes' outputs, by node name, from one run that keeps them all."""
        found = self._run([node.outputs[0] for node in nodes])
        return {
            node.name: relative_error(self._reference(node.outputs[0]), found[node.outputs[0]])[1] for node in nodes
        }

    def _run(self, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        part = _ending_at(self.selection.graph, list(dict.fromkeys(names)))
        groups = {node.name: self.selection.groups.get(node.name, 0) for node in part.nodes}
        groups = {name: group for name, group in groups.items() if group}
        model = lower(part, groups, layout=self.layout, value_dtype=self.dtype)
        with Session.from_model(model, backend=self.backend) as session:
            results = session.run({port.name: self.arrays[port.name] for port in session.inputs})
            nhwc = {port.name for port in session.outputs if port.layout == "nhwc"}
        return {name: a.transpose(0, 3, 1, 2) if name in nhwc else a for name, a in results.items()}

    def _reference(self, name: str) -> npt.NDArray[Any]:
        """Return the source's value in the shape and the order of channels of the converter."""
        value = np.asarray(self._expected[name], np.float64).reshape(self.selection.graph.values[name].shape)
        order = self.selection.orders.get(name, ())
        return np.asarray(value[in_axes(order, value.shape)]) if any(axis is not None for axis in order) else value


def layer_errors(truncation: Truncation) -> dict[str, float]:
    """Return the relative error of every node's output, by node name, for the nodes that the source knows."""
    return truncation.errors(truncation.nodes)


def first_wrong_node(truncation: Truncation, tolerance: float) -> tuple[Node, float] | None:
    """Return the first node whose output is off by more than the tolerance, and its relative error.

    All its inputs are right, so it is the cause. When every output is right as long as all are kept, memory that is
    reused too early is the cause; then shorter and shorter beginnings of the model are run as they would be alone.
    """
    errors = truncation.errors(truncation.nodes)
    for node in truncation.nodes:
        if errors[node.name] > tolerance:
            return node, errors[node.name]
    low, high, error = 0, len(truncation.nodes), 0.0
    while low < high:
        middle = (low + high) // 2
        node = truncation.nodes[middle]
        alone = truncation.errors([node])[node.name]
        if alone > tolerance:
            high, error = middle, alone
        else:
            low = middle + 1
    return (truncation.nodes[low], error) if low < len(truncation.nodes) else None


def _ending_at(graph: Graph, outputs: list[str]) -> Graph:
    """Return the part of a graph that the outputs need; inputs that nobody reads stay inputs of the whole only."""
    part = copy_graph(graph)
    needed, nodes = set(outputs), []
    for node in reversed(part.nodes):
        if needed & set(node.outputs):
            nodes.append(node)
            needed |= {name for name in node.inputs if name}
    part.nodes = nodes[::-1]
    part.outputs = outputs
    part.inputs = [name for name in graph.inputs if name in needed]
    return part

"""The graph while it is being made from an exported program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.frontends.aten_call import Call, Unsupported, module_path, shape_of, source_of
from edge_sparse.converters.frontends.torch_program import TorchProgram
from edge_sparse.converters.graph import Graph, Node, Value

__all__ = ["Translation"]


class Translation:
    """A graph, and for every node of the program the value (or values) that hold its result.

    Rules read arguments with ``tensor`` and ``constant`` and write nodes with ``emit``.

    Parameters
    ----------
    program : TorchProgram
        What is being translated.
    """

    def __init__(self, program: TorchProgram) -> None:
        self.program = program
        self.graph = Graph()
        self.results: dict[Any, str | tuple[str, ...]] = {}
        self.expanded: set[Any] = set()
        self._names: set[str] = set()
        for node in program.inputs:
            name = self.unique(node.name)
            self.graph.inputs.append(name)
            self.graph.values[name] = Value(name, shape_of(node))
            self.results[node] = name

    def unique(self, name: str) -> str:
        """Return the name, or the name with a number when it is taken."""
        candidate, count = name, 0
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate

    def tensor(self, node: Any, *, expanded: bool = False) -> str:
        """Return the value that holds a node's tensor; only rules that broadcast may take an ``expanded`` one."""
        if node in self.expanded and not expanded:
            raise Unsupported("expand is supported only as an operand of add and mul")
        if node not in self.results:
            self.results[node] = self._parameter(node)
        result = self.results[node]
        if isinstance(result, tuple):
            raise Unsupported("several values where one is expected")
        return result

    def array(self, node: Any) -> npt.NDArray[np.generic] | None:
        """Return the data of a node that depends on parameters alone, else None."""
        constant = self.program.constant(node)
        return None if constant is None else np.asarray(constant.numpy())

    def statistics(self, node: Any | None, length: int, default: float) -> npt.NDArray[np.float64]:
        """Return a constant vector in double precision, or a filled one where the argument is absent."""
        if node is None:
            return np.full(length, default, np.float64)
        data = self.array(node)
        if data is None:
            raise Unsupported("statistics that depend on an input")
        return data.astype(np.float64)

    def weight(self, node: Any, *, transposed: bool = False) -> str:
        """Return the value of a constant weight; ``transposed`` swaps its two axes."""
        if self.array(node) is None:
            raise Unsupported("a weight that depends on an input")
        if not transposed:
            return self.tensor(node)
        source = node.all_input_nodes[0] if node not in self.program.constants and node.all_input_nodes else None
        if source is not None and shape_of(source) == shape_of(node)[::-1] and "clone" not in str(node.target):
            return self.tensor(source)
        data = self.array(node)
        assert data is not None
        return self.constant(f"{self.tensor(node)}.transposed", np.ascontiguousarray(data.T))

    def constant(self, name: str, data: npt.ArrayLike, dtype: type[np.floating[Any]] = np.float32) -> str:
        """Add a constant that is no parameter."""
        array = np.asarray(data, dtype)
        name = self.unique(name)
        self.graph.values[name] = Value(name, array.shape, array.dtype, array)
        return name

    def emit(
        self,
        call: Call,
        op: str,
        inputs: Sequence[str],
        *,
        shape: tuple[int, ...] | None = None,
        **attributes: object,
    ) -> str:
        """Append a node named after the module it comes from, and return its output's value."""
        path, built_in = module_path(call.node)
        name = self.unique(path if path and built_in else f"{path}.{op}".lstrip("."))
        self.graph.nodes.append(Node(op, name, list(inputs), [name], attributes, source_of(call.node)))
        self.graph.values[name] = Value(name, call.shape if shape is None else shape)
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a value."""
        return self.graph.values[name].shape

    def size(self, name: str) -> int:
        """Return the number of elements of a value."""
        return math.prod(self.shape(name))

    def _parameter(self, node: Any) -> str:
        data = self.array(node)
        if data is None:
            raise Unsupported("its input could not be translated")
        origin = self.program.constants.get(node, "")
        name = self.unique(origin or node.name)
        array = data.astype(np.float32, copy=False)
        self.graph.values[name] = Value(name, array.shape, array.dtype, array, origin)
        return name

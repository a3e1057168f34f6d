"""Reads torch models through ``torch.export``: modules with example inputs, exported programs and ``.pt2`` files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.graph import Graph

from edge_sparse.errors import ConvertError, InputError, MissingExtraError

if TYPE_CHECKING:
    from edge_sparse.converters.frontends.torch_program import TorchProgram

__all__ = ["TorchSource", "read_torch"]

Arrays = Mapping[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class TorchSource:
    """A torch model that can be asked for its graph and run.

    Parameters
    ----------
    graph : Graph
        What the program computes, not optimised. Constants that are parameters carry their name as ``origin``.
    program : TorchProgram
        The program, ready to run.
    nodes : mapping of str to torch.fx.Node
        The node of the program that computes each value of the graph.
    warnings : tuple of str
        What a person should know, for example that half-precision weights became float32.
    """

    graph: Graph
    program: TorchProgram
    nodes: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[np.float32]]:
        """Run the source on float32 arrays by input name; returns its outputs by output name."""
        return self.values(arrays, self.graph.outputs)

    def values(self, arrays: Arrays, names: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Run the source and return values of ``graph`` by name; images are (N, C, H, W).

        Names that stand for no tensor of the source are left out: parts of an operator that became several nodes.
        """
        tensors = self._inputs(arrays)
        wanted = {name: self.nodes[name] for name in names if name in self.nodes}
        results = self.program.run(tensors, wanted.values())
        return {name: _array(results[node], self.graph.values[name].shape) for name, node in wanted.items()}

    def masked(self, masks: Mapping[str, npt.NDArray[np.bool_]]) -> TorchSource:
        """Return the same source with parameters multiplied by masks of their shape, by ``origin``."""
        import torch

        for name, mask in masks.items():
            shape = tuple(self.program.parameters[name].shape) if name in self.program.parameters else None
            if shape != mask.shape:
                raise ConvertError(
                    "MASK_MISMATCH",
                    f"a mask of shape {mask.shape} is given for {name}, which has shape {shape}",
                    "name parameters of the source and give masks of their shapes",
                )
        tensors = {name: torch.from_numpy(np.ascontiguousarray(mask)) for name, mask in masks.items()}
        values = {
            name: replace(value, data=value.data * masks[value.origin])
            if value.data is not None and value.origin in masks
            else value
            for name, value in self.graph.values.items()
        }
        return replace(self, graph=replace(self.graph, values=values), program=self.program.masked(tensors))

    def _inputs(self, arrays: Arrays) -> list[Any]:
        import torch

        if sorted(arrays) != sorted(self.graph.inputs):
            raise InputError(
                "INPUT_NAME", f"inputs are named {sorted(arrays)}, not {sorted(self.graph.inputs)}", "rename them"
            )
        tensors = []
        for name in self.graph.inputs:
            array, shape = arrays[name], self.graph.values[name].shape
            if array.shape != shape:
                raise InputError("INPUT_SHAPE", f"input {name} has shape {array.shape}, not {shape}", "reshape it")
            tensors.append(torch.from_numpy(np.ascontiguousarray(array, np.float32)))
        return tensors


def _array(tensor: Any, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    if isinstance(tensor, (tuple, list)):
        tensor = tensor[0]
    array = np.ascontiguousarray(tensor.numpy(), np.float32)
    # A value whose consumers broadcast or shuffle it may lie in other axes than the tensor that holds its elements.
    return array.reshape(shape) if array.size == math.prod(shape) else array


def read_torch(source: Any, example_inputs: Any = None, *, batch: int | None = None) -> TorchSource:
    """Read a torch model.

    Parameters
    ----------
    source : nn.Module, ExportedProgram, str or Path
        A module is copied, never changed. A path names a ``.pt2`` file of ``torch.export.save``.
    example_inputs : tuple of tensors, optional
        For a module: positional inputs (or a dictionary of named ones) that fix the shapes.
    batch : int, optional
        Number of rows of all inputs; by default that of the example inputs.

    Raises
    ------
    UnsupportedOperatorError
        The model holds operators without a rule; the message lists them all with their places.
    ConvertError
        The source cannot be read or exported, or its weights hold NaN or infinity.
    MissingExtraError
        torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            "EXTRA_MISSING", "reading torch models needs torch", "pip install 'edge_sparse[torch]'"
        ) from error
    from edge_sparse.converters.frontends.load_source import load_exported
    from edge_sparse.converters.frontends.torch_check import check_program
    from edge_sparse.converters.frontends.torch_graph import graph_of
    from edge_sparse.converters.frontends.torch_module import export_module

    own = isinstance(source, (str, Path))
    if isinstance(source, (str, Path)):
        source = load_exported(Path(source))
    if isinstance(source, torch.nn.Module):
        module = export_module(source, example_inputs, batch)
        graph, program, nodes = graph_of(module.exported, None, own=True)
        check_program(program, module)
        return TorchSource(graph, program, nodes, _type_warnings(source))
    if not isinstance(source, torch.export.ExportedProgram):
        raise ConvertError(
            "SOURCE_UNSUPPORTED",
            f"a {type(source).__name__} is no torch model",
            "pass an nn.Module with example inputs, an ExportedProgram, or the path of a .pt2 file",
        )
    graph, program, nodes = graph_of(source, batch, own=own)
    return TorchSource(graph, program, nodes)


def _type_warnings(module: Any) -> tuple[str, ...]:
    kinds = {str(p.dtype) for p in module.parameters() if p.is_floating_point()} - {"torch.float32"}
    if not kinds:
        return ()
    names = ", ".join(sorted(kind.removeprefix("torch.") for kind in kinds))
    return (f"{names} weights became float32; so are the inputs and outputs of the converted model",)

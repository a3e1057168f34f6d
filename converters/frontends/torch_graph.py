"""From an exported program to the converter's graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from edge_sparse.converters.frontends.aten_rules import FRESH, RULES, translate_nodes
from edge_sparse.converters.frontends.aten_translation import Translation
from edge_sparse.converters.frontends.torch_inplace import make_pure
from edge_sparse.converters.frontends.torch_module import decompose
from edge_sparse.converters.frontends.torch_program import TorchProgram, read_program
from edge_sparse.converters.graph import Graph, Node, Value
from torch.utils import _pytree as pytree

from edge_sparse.errors import ConvertError

__all__ = ["graph_of"]


def graph_of(exported: Any, batch: int | None, *, own: bool) -> tuple[Graph, TorchProgram, Mapping[str, Any]]:
    """Return the graph of an ExportedProgram, the program, and the program's node for each value of the graph.

    With ``own``, the ExportedProgram may be changed.
    """
    if not (own and make_pure(exported, RULES, FRESH)):
        exported = decompose(exported, RULES)
    _check_signature(exported)
    _check_shapes(exported)
    _check_outputs(exported)
    program = read_program(exported)
    _check_inputs(program, batch)
    t = Translation(program)
    translate_nodes(t)
    nodes = _nodes_by_value(t)
    _name_outputs(t, exported, nodes)
    _check_weights(t.graph)
    return t.graph, program, nodes


def _check_signature(exported: Any) -> None:
    changed = [name for name in exported.graph_signature.buffers_to_mutate.values() if name]
    if changed:
        raise ConvertError(
            "MODEL_HAS_STATE",
            f"the model changes {', '.join(sorted(changed))} when it runs",
            "call model.eval() before torch.export.export; models with state of their own cannot be converted",
        )


def _check_shapes(exported: Any) -> None:
    for node in exported.graph_module.graph.nodes:
        value = node.meta.get("val")
        values = value if isinstance(value, (tuple, list)) else [value]
        for tensor in values:
            if isinstance(tensor, torch.Tensor) and not all(isinstance(length, int) for length in tensor.shape):
                raise ConvertError(
                    "SHAPES_DYNAMIC",
                    f"{node.name} has the dynamic shape {tuple(str(length) for length in tensor.shape)}",
                    "export without dynamic_shapes: shapes and batch size are fixed when a model is converted",
                )


def _check_outputs(exported: Any) -> None:
    outputs = exported.graph_signature.user_outputs
    others = [value for value in outputs if value is not None and not isinstance(value, str)]
    if others or not any(isinstance(value, str) for value in outputs):
        found = ", ".join(f"{value!r}" for value in others)
        raise ConvertError(
            "OUTPUT_TYPE",
            f"the model returns {found} beside tensors" if others else "the model returns no tensor",
            "return tensors only",
        )


def _check_inputs(program: TorchProgram, batch: int | None) -> None:
    for node in program.inputs:
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            raise ConvertError(
                "INPUT_TYPE",
                f"input {node.name} is a {type(value).__name__}, not a tensor",
                "export the model with tensor inputs only",
            )
        if value.dtype != torch.float32:
            raise ConvertError(
                "INPUT_DTYPE",
                f"input {node.name} is {str(value.dtype).removeprefix('torch.')}, not float32",
                "export the model in float32: model.float(), float32 example inputs",
            )
        if batch is not None and (not value.ndim or value.shape[0] != batch):
            raise ConvertError(
                "BATCH_FIXED",
                f"the program was exported for inputs of shape {tuple(value.shape)}, not for a batch of {batch}",
                f"export it again with {batch} rows, or pass the nn.Module with example inputs",
            )


def _nodes_by_value(t: Translation) -> dict[str, Any]:
    """Map each value to the first node that it stands for; later ones pass it on."""
    nodes: dict[str, Any] = {}
    for node, result in t.results.items():
        if isinstance(result, str):
            nodes.setdefault(result, node)
        elif len(result) == 1:
            nodes.setdefault(result[0], node)
    return nodes


def _name_outputs(t: Translation, exported: Any, nodes: dict[str, Any]) -> None:
    """Call outputs by their dictionary keys, or output, output_0, output_1..."""
    names = _output_names(exported, len(t.program.outputs))
    for name, node in zip(names, t.program.outputs, strict=True):
        value = t.tensor(node)
        name = t.unique(name)
        if value in t.graph.outputs or value in t.graph.inputs or t.graph.values[value].data is not None:
            t.graph.values[name] = Value(name, t.shape(value))
            t.graph.nodes.append(Node("reshape", f"{name}.copy", [value], [name], {}, ""))
        else:
            _rename(t, value, name)
            nodes.pop(value, None)
        nodes[name] = node
        t.graph.outputs.append(name)


def _output_names(exported: Any, count: int) -> list[str]:
    numbered = ["output"] if count == 1 else [f"output_{index}" for index in range(count)]
    tree = exported.call_spec.out_spec
    if tree is None or tree.num_leaves != count:
        return numbered
    structure = pytree.tree_unflatten(list(range(count)), tree)
    if not isinstance(structure, Mapping):
        return numbered
    keys = {index: str(key) for key, index in structure.items() if isinstance(index, int)}
    return [keys.get(index, numbered[index]) for index in range(count)]


def _rename(t: Translation, old: str, new: str) -> None:
    value = t.graph.values.pop(old)
    value.name = new
    t.graph.values[new] = value
    for node in t.graph.nodes:
        node.inputs = [new if name == old else name for name in node.inputs]
        node.outputs = [new if name == old else name for name in node.outputs]
    for node, result in t.results.items():
        if result == old:
            t.results[node] = new


def _check_weights(graph: Graph) -> None:
    used = {name for node in graph.nodes for name in node.inputs}
    bad = [
        value.origin or value.name
        for value in graph.values.values()
        if value.name in used and value.data is not None and not np.isfinite(value.data).all()
    ]
    if bad:
        raise ConvertError(
            "WEIGHTS_NOT_FINITE",
            f"NaN or infinity in {', '.join(bad)}",
            "load the weights again, or train with a lower learning rate; nothing can be converted from them",
        )

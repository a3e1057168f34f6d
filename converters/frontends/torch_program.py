"""An exported torch program that can be run: once more with other weights, or with a look at its inner values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

__all__ = ["VIEWS", "TorchProgram", "read_program"]

#: Operators that show the elements of a parameter in another order; they are evaluated where they are used, so that
#: a weight keeps the name of its parameter.
VIEWS = frozenset(
    {
        "aten.alias.default",
        "aten.clone.default",
        "aten.contiguous.default",
        "aten.detach.default",
        "aten.lift_fresh_copy.default",
        "aten.permute.default",
        "aten.t.default",
        "aten.transpose.int",
    }
)


@dataclass(frozen=True)
class TorchProgram:
    """A program in inference form.

    Parameters
    ----------
    nodes : tuple of torch.fx.Node
        In order of execution.
    inputs, outputs : tuple of torch.fx.Node
        What the caller gives and gets; parameters are not among the inputs.
    parameters : mapping of str to torch.Tensor
        Parameters, buffers and values computed from them alone, by name.
    constants : mapping of torch.fx.Node to str
        Nodes that stand for a parameter.
    """

    nodes: tuple[Any, ...]
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    parameters: Mapping[str, torch.Tensor]
    constants: Mapping[Any, str]

    def constant(self, node: Any) -> torch.Tensor | None:
        """Return the value of a node that depends on no input: a parameter or a view of one."""
        if node in self.constants:
            return self.parameters[self.constants[node]]
        if _is_view(node) and node.all_input_nodes:
            source = self.constant(node.all_input_nodes[0])
            return None if source is None else _call(node, {node.all_input_nodes[0]: source})
        return None

    def run(self, inputs: Sequence[torch.Tensor], wanted: Iterable[Any]) -> dict[Any, Any]:
        """Run the program and return the values of the wanted nodes."""
        kept = set(wanted)
        last_use = {source: node for node in self.nodes for source in node.all_input_nodes}
        values: dict[Any, Any] = dict(zip(self.inputs, inputs, strict=True))
        with torch.no_grad():
            for node in self.nodes:
                if node in self.constants:
                    values[node] = self.parameters[self.constants[node]]
                elif node.op == "call_function" and node.users:
                    values[node] = _call(node, values)
                for source in node.all_input_nodes:
                    if last_use[source] is node and source not in kept:
                        values.pop(source, None)
        return {node: values[node] for node in kept}

    def masked(self, masks: Mapping[str, torch.Tensor]) -> TorchProgram:
        """Return the program with some parameters multiplied by masks."""
        masked = {name: self.parameters[name] * mask for name, mask in masks.items()}
        return replace(self, parameters={**self.parameters, **masked})


def read_program(exported: Any) -> TorchProgram:
    """Make a program of a ``torch.export.ExportedProgram`` that has already been decomposed.

    Values that depend on parameters alone are computed now and become parameters themselves.
    """
    signature = exported.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names |= signature.inputs_to_lifted_tensor_constants
    parameters: dict[str, torch.Tensor] = {}
    constants: dict[Any, str] = {}
    user_inputs = set(signature.user_inputs)
    nodes = tuple(exported.graph_module.graph.nodes)
    inputs = tuple(node for node in nodes if node.op == "placeholder" and node.name in user_inputs)
    stored = {**exported.constants, **exported.state_dict}
    for node in nodes:
        if node.op == "placeholder" and node.name in names:
            constants[node] = names[node.name]
            parameters[names[node.name]] = stored[names[node.name]].detach().cpu()
    program = TorchProgram(nodes, inputs, _outputs(exported, nodes), parameters, constants)
    for node in nodes:
        _fold(program, node, parameters, constants)
    return program


def _outputs(exported: Any, nodes: Sequence[Any]) -> tuple[Any, ...]:
    by_name = {node.name: node for node in nodes}
    return tuple(by_name[name] for name in exported.graph_signature.user_outputs if isinstance(name, str))


def _fold(program: TorchProgram, node: Any, parameters: dict[str, torch.Tensor], constants: dict[Any, str]) -> None:
    if node.op != "call_function" or _is_view(node) or not node.users or not hasattr(node.target, "tags"):
        return
    sources = {source: program.constant(source) for source in node.all_input_nodes}
    if any(value is None for value in sources.values()) or torch.Tag.nondeterministic_seeded in node.target.tags:
        return
    with torch.no_grad():
        value = _call(node, sources)
    if isinstance(value, torch.Tensor):
        name = node.name if node.name not in parameters else f"{node.name}.folded"
        parameters[name], constants[node] = value, name


def _is_view(node: Any) -> bool:
    return node.op == "call_function" and str(node.target) in VIEWS


def _call(node: Any, values: Mapping[Any, Any]) -> Any:
    positional, named = torch.fx.map_arg((node.args, node.kwargs), lambda source: values[source])
    if named.get("device") is not None:
        # A program exported on an accelerator names it wherever it makes a tensor.
        named = {**named, "device": torch.device("cpu")}
    return node.target(*positional, **named)

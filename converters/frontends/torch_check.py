"""Compares an exported program with the module that it came from."""

from __future__ import annotations

import torch
from edge_sparse.converters.frontends.torch_module import ExportedModule
from edge_sparse.converters.frontends.torch_program import TorchProgram

from edge_sparse.errors import ConvertError

__all__ = ["check_program"]

#: Of the largest output. Operators taken apart round differently; wrong programs are far off.
_TOLERANCE = 1e-3


def check_program(program: TorchProgram, module: ExportedModule) -> None:
    """Run the program on the example inputs; ``ConvertError`` when it differs from what the module returned."""
    inputs = list(module.positional)
    for node in program.inputs[len(inputs) :]:
        if not isinstance(module.named.get(node.name), torch.Tensor):
            # A named input that is a structure of tensors: its parts have names that only torch knows.
            return
        inputs.append(module.named[node.name])
    results = program.run([value.clone() for value in inputs], program.outputs)
    for expected, node in zip(module.outputs, program.outputs, strict=True):
        found = results[node]
        finite = expected[expected.isfinite()]
        limit = _TOLERANCE * float(finite.abs().max()) if finite.numel() else 0.0
        same = found.shape == expected.shape and torch.allclose(found, expected, rtol=0, atol=limit, equal_nan=True)
        if not same:
            raise ConvertError(
                "EXPORT_DIFFERS",
                "torch.export made a program that computes something else than the module",
                "avoid in-place operators (inplace=True, +=) and values that change between calls",
            )

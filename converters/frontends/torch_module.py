"""From an ``nn.Module`` to a float32 copy on the CPU in evaluation mode, and to an exported program."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from edge_sparse.errors import ConvertError

__all__ = ["ExportedModule", "decompose", "example_arguments", "export_module", "plain_copy"]

_WRAPPERS = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)


def plain_copy(module: torch.nn.Module) -> torch.nn.Module:
    """Return an unwrapped copy on the CPU, in float32 and evaluation mode, with reparametrised weights made plain."""
    module = _unwrap(module)
    if isinstance(module, torch.jit.ScriptModule):
        raise ConvertError("SOURCE_UNSUPPORTED", "the model is a TorchScript module", "pass the nn.Module it came from")
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                # Reparametrised weights are results of autograd, which deepcopy refuses.
                memo[id(value)] = value.detach().clone()
    plain = _unwrap_children(copy.deepcopy(module, memo)).cpu().float().eval()
    for part in plain.modules():
        _remove_reparametrisations(part)
    return plain.requires_grad_(False)


def _unwrap(module: torch.nn.Module) -> torch.nn.Module:
    while isinstance(module, _WRAPPERS) or hasattr(module, "_orig_mod"):
        module = module.module if isinstance(module, _WRAPPERS) else module._orig_mod  # type: ignore[assignment]
    return module


def _unwrap_children(module: torch.nn.Module) -> torch.nn.Module:
    for name, child in module.named_children():
        setattr(module, name, _unwrap_children(_unwrap(child)))
    return module


def _remove_reparametrisations(part: torch.nn.Module) -> None:
    from torch.nn.utils import parametrize, prune

    pruned = [
        hook._tensor_name for hook in part._forward_pre_hooks.values() if isinstance(hook, prune.BasePruningMethod)
    ]
    for name in pruned:
        prune.remove(part, name)
    if parametrize.is_parametrized(part):
        for name in list(part.parametrizations):  # type: ignore[arg-type, union-attr]
            parametrize.remove_parametrizations(part, str(name), leave_parametrized=True)


def example_arguments(examples: Any, batch: int | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return positional and named example inputs as float32 CPU tensors, with ``batch`` rows if that is given."""
    if examples is None:
        raise ConvertError(
            "EXAMPLE_INPUTS_MISSING",
            "an nn.Module needs example inputs, which fix the shapes",
            "pass example_inputs=(torch.randn(1, 3, 224, 224),)",
        )
    if isinstance(examples, (torch.Tensor, np.ndarray)):
        examples = (examples,)
    if not isinstance(examples, (tuple, list, Mapping)):
        raise ConvertError(
            "EXAMPLE_INPUTS_TYPE",
            f"example inputs are a {type(examples).__name__}",
            "pass a tuple of tensors, or a dictionary of tensors by argument name",
        )
    examples = pytree.tree_map(_example, dict(examples) if isinstance(examples, Mapping) else tuple(examples))
    if batch is not None:
        examples = pytree.tree_map(_rows(examples, batch), examples)
    return ((), examples) if isinstance(examples, dict) else (examples, {})


def _example(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value))
    if not isinstance(value, torch.Tensor):
        return value
    if not value.is_floating_point():
        raise ConvertError(
            "INPUT_DTYPE",
            f"an example input of shape {tuple(value.shape)} is {value.dtype}, not floating point",
            "convert models whose inputs are images or other floating-point tensors",
        )
    return value.detach().cpu().float()


def _rows(examples: Any, batch: int) -> Callable[[Any], Any]:
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise ConvertError("BATCH_RANGE", f"batch {batch!r} is not a positive number", "pass batch=1 or more")
    tensors = [value for value in pytree.tree_leaves(examples) if isinstance(value, torch.Tensor) and value.ndim]
    rows = tensors[0].shape[0] if tensors else 0

    def repeat(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.ndim == 0 or value.shape[0] != rows:
            return value
        return value[torch.arange(batch) % rows].contiguous()

    return repeat


@dataclass(frozen=True)
class ExportedModule:
    """An exported module, the tensors that it was traced with, and what the module itself returns for them.

    ``named`` are inputs by argument name; ``positional`` come before them.
    """

    exported: Any
    positional: tuple[torch.Tensor, ...]
    named: Mapping[str, Any]
    outputs: tuple[torch.Tensor, ...]


def export_module(module: torch.nn.Module, examples: Any, batch: int | None) -> ExportedModule:
    """Export a copy of a module; the module itself is not touched."""
    arguments, named = example_arguments(examples, batch)
    plain = plain_copy(module)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(plain, arguments, named)
            outputs = plain(*_cloned(arguments), **_cloned(named))
            return ExportedModule(exported, _tensors(arguments), named, _tensors(outputs))
    except Exception as error:
        raise ConvertError(
            "EXPORT_FAILED",
            f"torch.export cannot trace {type(module).__name__}: {first_line(error)}",
            "make the model exportable: no branches on values, no side effects; run it once on the example inputs",
        ) from error


def _cloned(values: Any) -> Any:
    return pytree.tree_map(lambda value: value.clone() if isinstance(value, torch.Tensor) else value, values)


def _tensors(values: Any) -> tuple[torch.Tensor, ...]:
    return tuple(value for value in pytree.tree_leaves(values) if isinstance(value, torch.Tensor))


def decompose(exported: Any, rules: Mapping[str, object]) -> Any:
    """Break operators without a rule down to core ATen and make the program free of in-place operators."""
    table = torch.export.default_decompositions()
    kept = [overload for overload in table if str(overload) in rules]
    for overload in kept:
        table.pop(overload)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return exported.run_decompositions(table)
    except Exception as error:
        raise ConvertError(
            "EXPORT_FAILED", f"torch cannot decompose the program: {first_line(error)}", "export the model again"
        ) from error


def first_line(error: Exception) -> str:
    """Return the first line of an exception's text, or its type when it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

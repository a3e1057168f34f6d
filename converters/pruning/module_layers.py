"""The prunable layers of a torch module, described as the layers of a graph are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_sparse.converters.pruning.layers import Layer, operator_of

from edge_sparse.errors import MissingExtraError, PruningError

if TYPE_CHECKING:
    import torch

__all__ = ["module_layers", "require_torch", "unwrapped"]


def require_torch() -> Any:
    """Import torch, or say how to install it."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            "EXTRA_MISSING", "pruning in a training loop needs torch", "pip install 'edge_sparse[torch]'"
        ) from error
    return torch


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """Return the network inside DataParallel or DistributedDataParallel, else the module itself."""
    torch = require_torch()
    parallel = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    while isinstance(module, parallel):
        module = module.module
    return module


def module_layers(module: torch.nn.Module) -> dict[str, tuple[Layer, torch.nn.Module]]:
    """Return all two-dimensional convolutions and linear layers by module path, in order.

    A parameter that several modules share is listed once, under the first.

    Raises
    ------
    PruningError
        ``WEIGHT_REPARAMETRISED``: a weight is computed from other parameters, so zeros in it would not last.
        ``WEIGHT_UNINITIALISED``: a lazy layer has no shape yet.
    """
    torch = require_torch()
    layers: dict[str, tuple[Layer, torch.nn.Module]] = {}
    seen: set[int] = set()
    for path, child in module.named_modules():
        if not isinstance(child, (torch.nn.Conv2d, torch.nn.Linear)):
            continue
        name = path or type(child).__name__
        weight = _weight(torch, child, name)
        if id(weight) in seen:
            continue
        seen.add(id(weight))
        shape = tuple(weight.shape)
        groups = child.groups if isinstance(child, torch.nn.Conv2d) else 1
        layers[name] = Layer(name, operator_of(shape, groups), f"{name}.weight", shape, groups), child
    return layers


def _weight(torch: Any, layer: Any, name: str) -> torch.nn.Parameter:
    weight = layer._parameters.get("weight")
    if weight is None:
        raise PruningError(
            "WEIGHT_REPARAMETRISED",
            f"the weight of {name} is computed from other parameters",
            "make it plain first, for example with torch.nn.utils.prune.remove or parametrize.remove_parametrizations",
        )
    if isinstance(weight, torch.nn.parameter.UninitializedParameter):
        raise PruningError(
            "WEIGHT_UNINITIALISED",
            f"layer {name} has no weights yet",
            "run the network once on an example input before pruning it",
        )
    return weight

"""Gradual group pruning inside a torch training loop."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from edge_sparse.converters.pruning.groups import as_matrices, as_weight
from edge_sparse.converters.pruning.layers import LayerRequest, requests_for
from edge_sparse.converters.pruning.masks import magnitude_masks
from edge_sparse.converters.pruning.module_layers import module_layers, require_torch, unwrapped
from edge_sparse.converters.pruning.options import LayerOverride, PruneOptions, Scope
from edge_sparse.converters.pruning.schedule import CubicSchedule

from edge_sparse.errors import PruningError

if TYPE_CHECKING:
    import torch

__all__ = ["GroupPruner"]

#: Bounds of the default frequency.
LEAST_UPDATES, MOST_STEPS_BETWEEN = 20, 100


class GroupPruner:
    """Drops groups of weights bit by bit while a network is trained.

    Call ``step()`` after every ``optimizer.step()``. Sparsity grows along ``CubicSchedule``; dropped weights are set to
    exactly zero after each step, whatever momentum and weight decay did to them. The converter finds the zeros.

    Parameters
    ----------
    module : torch.nn.Module
        The network, on any device; ``DataParallel`` and ``DistributedDataParallel`` are looked through.
    sparsity : float
        Share of weights to drop in the end, in [0, 1).
    end : int
        Step (call of ``step()``) at which ``sparsity`` is reached; leave some training after it. 0 prunes at once.
    begin : int
        Step of the first change.
    frequency : int, optional
        Steps between two changes of the masks. By default the sparsity rises in at least twenty changes, and at least
        every hundred steps.
    scope : {"layer", "strip", "global"}
        As in ``PruneOptions``, but "layer" by default: training makes up for strips that lose more than others.
    group, convolution_pattern, include_depthwise, include_stem, include_linear, overrides
        As in ``PruneOptions``; layers are named by module path.

    Attributes
    ----------
    steps : int
        Calls of ``step()`` so far.
    dense_layers : dict of str to str
        Layers that are left alone, and why.

    Examples
    --------
    >>> pruner = GroupPruner(model, sparsity=0.8, end=2000)          # doctest: +SKIP
    >>> for images, labels in loader:                                # doctest: +SKIP
    ...     loss(model(images), labels).backward()
    ...     optimizer.step()
    ...     pruner.step()
    ...     optimizer.zero_grad()
    >>> pruner.finish()                                              # doctest: +SKIP
    """

    def __init__(
        self,
        module: torch.nn.Module,
        sparsity: float = 0.8,
        *,
        end: int,
        begin: int = 0,
        frequency: int | None = None,
        group: int | None = None,
        scope: Scope = "layer",
        convolution_pattern: Literal["tap", "kernel"] = "tap",
        include_depthwise: bool = False,
        include_stem: bool = False,
        include_linear: bool = True,
        overrides: Mapping[str, LayerOverride] | None = None,
    ) -> None:
        steps = max(1, min(MOST_STEPS_BETWEEN, (end - begin) // LEAST_UPDATES)) if frequency is None else frequency
        self.schedule = CubicSchedule(begin, end, steps)
        self.options = PruneOptions(
            sparsity,
            group,
            scope,
            convolution_pattern,
            include_depthwise,
            include_stem,
            include_linear,
            dict(overrides or {}),
        )
        self._module = unwrapped(module)
        found = module_layers(self._module)
        requests = requests_for([layer for layer, _ in found.values()], self.options)
        self._requests = {request.layer.node: request for request in requests if request.sparsity}
        self._layers = {name: found[name][1] for name in self._requests}
        self.dense_layers = {request.layer.node: request.reason for request in requests if not request.sparsity}
        if not self._requests:
            raise PruningError("NOTHING_TO_PRUNE", _why_nothing(self.dense_layers), "include layers or add an override")
        self.steps = 0
        self._dropped: dict[str, torch.Tensor] = {}
        self._finished = False

    def step(self) -> None:
        """Count a training step, drop more groups if the schedule says so, and set dropped weights to zero.

        Raises
        ------
        PruningError
            ``WEIGHTS_NOT_FINITE`` when training diverged, ``LAYER_EMPTY`` when a layer would lose all its weights.
        """
        if self._finished:
            raise PruningError("PRUNER_FINISHED", "step() after finish()", "make a new GroupPruner to prune further")
        if self.schedule.is_due(self.steps + 1):
            self._choose(self.schedule.share(self.steps + 1))
        self.steps += 1
        self._apply()

    def sparsity(self) -> dict[str, float]:
        """Return the share of dropped weights now, by layer; layers that are left alone are not listed."""
        return {
            name: float(self._dropped[name].float().mean()) if name in self._dropped else 0.0 for name in self._requests
        }

    def finish(self) -> torch.nn.Module:
        """Set dropped weights to zero for good and return the network, a plain module again.

        Warns when the schedule has not reached its end: the network is then less sparse than was asked for.
        """
        if not self._finished and self.steps < self.schedule.last:
            warnings.warn(
                f"finished at step {self.steps} of {self.schedule.last}, before sparsity {self.options.sparsity} was "
                "reached; give GroupPruner an earlier end",
                stacklevel=2,
            )
        self._apply()
        self._finished = True
        return self._module

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs: the step, and the dropped weights of every layer as boolean CPU tensors."""
        return {
            "steps": self.steps,
            "dropped": {name: mask.detach().cpu().clone() for name, mask in self._dropped.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint of a pruner of the same network.

        Raises
        ------
        PruningError
            ``CHECKPOINT_MISMATCH``: the checkpoint is no pruner's, or names other layers or shapes.
        """
        steps, dropped = state.get("steps"), state.get("dropped")
        counted = isinstance(steps, int) and steps >= 0
        if not counted or not isinstance(dropped, Mapping) or not self._fits(dropped):
            raise PruningError(
                "CHECKPOINT_MISMATCH",
                "the checkpoint does not belong to a pruner of this network",
                "load what state_dict() of a GroupPruner with the same layers returned",
            )
        self.steps = steps
        self._dropped = {name: mask.clone() for name, mask in dropped.items()}
        self._apply()

    def _fits(self, dropped: Mapping[str, Any]) -> bool:
        """Tell whether masks of a checkpoint are those of this network's layers; before the first change none are."""
        torch = require_torch()
        return set(dropped) in (set(), set(self._requests)) and all(
            isinstance(mask, torch.Tensor)
            and mask.dtype == torch.bool
            and tuple(mask.shape) == self._requests[name].layer.shape
            for name, mask in dropped.items()
        )

    def _choose(self, share: float) -> None:
        """Choose what to drop when ``share`` of the final sparsity is due."""
        torch = require_torch()
        options = dataclasses.replace(self.options, sparsity=self.options.sparsity * share)
        requests = [dataclasses.replace(r, sparsity=r.sparsity * share) for r in self._requests.values()]
        matrices = {request.layer.node: self._matrices(request) for request in requests}
        masks = magnitude_masks(requests, matrices, options)
        for name, mask in masks.items():
            if not mask.any():
                raise PruningError(
                    "LAYER_EMPTY",
                    f"layer {name} would lose all its weights",
                    "lower the sparsity, use scope 'strip' or 'layer', or give the layer an override",
                )
            dropped = as_weight(~mask, self._requests[name].layer.shape)
            self._dropped[name] = torch.from_numpy(np.ascontiguousarray(dropped))

    def _matrices(self, request: LayerRequest) -> npt.NDArray[np.floating]:
        layer = request.layer
        weight = self._layers[layer.node].weight.detach().float().cpu().numpy()
        return as_matrices(weight, 1 if layer.operator == "depthwise" else layer.groups)

    def _apply(self) -> None:
        """Set dropped weights to zero; masks follow the weights to their device."""
        with require_torch().no_grad():
            for name, dropped in self._dropped.items():
                weight = self._layers[name].weight
                if dropped.device != weight.device:
                    self._dropped[name] = dropped = dropped.to(weight.device)
                # A product with the mask would leave NaN and -0.
                weight.masked_fill_(dropped, 0)


def _why_nothing(reasons: Mapping[str, str]) -> str:
    if not reasons:
        return "the module has no convolution or linear layer"
    listed = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:8])
    return f"no layer is to be pruned ({listed})"

"""What a user can ask of the pruner."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from edge_sparse.errors import PruningError
from edge_sparse.format.packing import GROUPS

__all__ = ["LayerOverride", "PruneOptions", "Scope", "check_group", "check_scope", "check_sparsity", "parse_group"]

#: Among which groups the least important ones are dropped: those of a strip, of a layer, or of all layers.
Scope = Literal["strip", "layer", "global"]


def parse_group(text: str) -> int:
    """Return the rows per group of a token such as ``gs4x1``."""
    match = re.fullmatch(r"gs(\d+)x1", text)
    if match is None or int(match[1]) not in GROUPS:
        known = ", ".join(f"gs{group}x1" for group in GROUPS)
        raise PruningError("GROUP_UNKNOWN", f"group {text!r} is unknown", f"choose one of {known}")
    return int(match[1])


def check_sparsity(sparsity: float) -> None:
    """Raise ``SPARSITY_RANGE`` unless a sparsity is in [0, 1)."""
    if not 0 <= sparsity < 1:
        raise PruningError(
            "SPARSITY_RANGE",
            f"sparsity {sparsity} is not in [0, 1)",
            "give the share of weights to drop, for example 0.8 for 80 %",
        )


def check_group(group: int | None) -> None:
    """Raise ``GROUP_UNKNOWN`` unless a group size, if given, is one of the format's."""
    if group is not None and group not in GROUPS:
        raise PruningError("GROUP_UNKNOWN", f"group size {group} is not one of {GROUPS}", "choose one of those")


def check_scope(scope: str) -> None:
    """Raise ``OPTION_UNKNOWN`` unless a scope is one of strip, layer and global."""
    if scope not in get_args(Scope):
        known = ", ".join(get_args(Scope))
        raise PruningError("OPTION_UNKNOWN", f"scope {scope!r} is not one of {known}", "leave it out for strip")


@dataclass(frozen=True)
class LayerOverride:
    """Settings for layers whose name matches a pattern; None keeps the model's. Sparsity 0 leaves a layer dense."""

    sparsity: float | None = None
    group: int | None = None

    def __post_init__(self) -> None:
        if self.sparsity is not None:
            check_sparsity(self.sparsity)
        check_group(self.group)


@dataclass(frozen=True)
class PruneOptions:
    """How to prune a graph by magnitude.

    Parameters
    ----------
    sparsity : float
        Share of weights to drop, in [0, 1).
    group : int, optional
        Rows per group for all layers; by default 4 for convolutions and 16 for linear layers.
    scope : {"layer", "strip", "global"}
        "layer", the default, drops the same share in each layer, from whichever strips hold the least important groups.
        "strip" drops as many groups in each strip of rows, up to one, so that no channel is emptied. "global" ranks the
        groups of all layers in one list, each layer's scores divided by the root mean square of its weights (folded
        batch norms make the raw scales meaningless).
    convolution_pattern : {"tap", "kernel"}
        "tap" drops single (tap, input channel) columns of a strip; "kernel" all taps of an input channel together.
    include_depthwise, include_stem, include_linear : bool
        Whether depthwise convolutions, k x k convolutions of at most four input channels and linear layers are pruned.
    overrides : mapping of str to LayerOverride
        Settings per layer name pattern (``*`` and ``?`` as in a shell). The first match wins, and a match that names a
        sparsity also selects depthwise, stem and linear layers that are left out by default.
    """

    sparsity: float
    group: int | None = None
    scope: Scope = "layer"
    convolution_pattern: Literal["tap", "kernel"] = "tap"
    include_depthwise: bool = False
    include_stem: bool = False
    include_linear: bool = True
    overrides: Mapping[str, LayerOverride] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity)
        check_group(self.group)
        check_scope(self.scope)
        if self.convolution_pattern not in ("tap", "kernel"):
            raise PruningError(
                "OPTION_UNKNOWN", f"pattern {self.convolution_pattern!r} is unknown", "use tap or kernel"
            )

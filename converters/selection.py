"""Which weights are kept, and which layers run sparse."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edge_sparse.converters.graph import Graph
from edge_sparse.converters.masks import Orders, layers_without_origin
from edge_sparse.converters.options import ConvertOptions
from edge_sparse.converters.pruning import LayerOverride, LayerPattern, PruneOptions, detect_patterns, prune_graph
from edge_sparse.converters.pruning.layers import requests_of
from edge_sparse.converters.pruning.permute import Gain, Rearrangement, rearrange
from edge_sparse.converters.pruning.speed import speed_limit

__all__ = ["Selection", "select"]

Count = Callable[[int, int], None]


@dataclass(frozen=True)
class Selection:
    """The graph to be lowered and how it came from the optimised one.

    Parameters
    ----------
    unpruned : Graph
        All weights, channels in their final order.
    graph : Graph
        The same with the dropped weights zero.
    patterns : mapping of str to LayerPattern
        Every convolution and linear layer, by node name.
    orders : mapping
        How channels were rearranged, by value name; see ``masks.Orders``.
    gains : tuple of Gain
        What that brought, per block of channels that move together.
    """

    unpruned: Graph
    graph: Graph
    patterns: Mapping[str, LayerPattern]
    orders: Orders = field(default_factory=dict)
    gains: tuple[Gain, ...] = ()

    @property
    def groups(self) -> dict[str, int]:
        """Rows per group of the layers that run sparse, as ``lower`` takes them."""
        return {name: pattern.group for name, pattern in self.patterns.items() if pattern.sparse}


def select(graph: Graph, options: ConvertOptions, count: Count = lambda done, total: None) -> Selection:
    """Prune as the options say; without a sparsity keep the zeros that are there, at the widest group they allow.

    Parameters
    ----------
    graph : Graph
        Optimised.
    count : callable
        Called with (done, total) while channels are rearranged.
    """
    limit = speed_limit(options.layout)
    if options.sparsity is None:
        return Selection(graph, graph, detect_patterns(graph, break_even_density=limit))
    pruning = _protect(graph, options.pruning())
    arranged = _rearranged(graph, pruning, count) if options.rearrange else Rearrangement(graph, {}, ())
    graph = arranged.graph
    result = prune_graph(graph, pruning, break_even_density=limit)
    found = detect_patterns(result.graph, break_even_density=limit)
    foreign = set(layers_without_origin(graph))
    patterns = {}
    for name, pattern in result.patterns.items():
        if name in foreign:
            pattern = dataclasses.replace(pattern, reason="the weight is computed, not a parameter that can be pruned")
        # A layer that is left alone may hold zeros of its own.
        patterns[name] = pattern if pattern.sparse or not found[name].sparse else found[name]
    return Selection(graph, result.graph, patterns, arranged.orders, arranged.gains)


def _protect(graph: Graph, options: PruneOptions) -> PruneOptions:
    """Leave weights alone that are no parameters of the source: no masked source could confirm the result."""
    exempt = {glob.escape(name): LayerOverride(sparsity=0.0) for name in layers_without_origin(graph)}
    if not exempt:
        return options
    requests_of(graph, options)  # Patterns of the user that match nothing are reported before ours join them.
    return dataclasses.replace(options, overrides={**exempt, **options.overrides})


def _rearranged(graph: Graph, options: PruneOptions, count: Count) -> Rearrangement:
    # Groups of depthwise layers are single weights, whatever the order of the channels.
    wanted = [r for r in requests_of(graph, options) if r.sparsity and r.layer.operator != "depthwise"]
    return rearrange(
        graph,
        {request.layer.node: request.group for request in wanted},
        sparsity={request.layer.node: request.sparsity for request in wanted},
        convolution_pattern=options.convolution_pattern,
        scope=options.scope,
        progress=count,
    )

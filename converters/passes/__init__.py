"""Graph rewrites that make a source's graph ready for lowering: one rewrite per file, ``optimise`` runs them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge_sparse.converters.graph import Graph
from edge_sparse.converters.passes.fold_batch_norm import fold_batch_norm
from edge_sparse.converters.passes.fold_constants import fold_constants
from edge_sparse.converters.passes.fold_scale import fold_scale
from edge_sparse.converters.passes.fuse_activation import fuse_activation
from edge_sparse.converters.passes.fuse_pad import fuse_pad
from edge_sparse.converters.passes.fuse_residual import fuse_residual
from edge_sparse.converters.passes.merge_activations import merge_activations
from edge_sparse.converters.passes.merge_subsample import merge_subsample
from edge_sparse.converters.passes.recognise_activations import recognise_activations
from edge_sparse.converters.passes.remove_dead import remove_dead
from edge_sparse.converters.passes.remove_identities import remove_identities

__all__ = ["PASSES", "optimise"]

Pass = Callable[[Graph], bool]

#: In the order of ``optimise``: patterns are recognised before fusion takes their nodes apart.
PASSES: tuple[Pass, ...] = (
    remove_identities,
    fold_constants,
    merge_activations,
    recognise_activations,
    merge_subsample,
    fold_batch_norm,
    fold_scale,
    fuse_pad,
    fuse_activation,
    fuse_residual,
    remove_dead,
)


def optimise(graph: Graph) -> Graph:
    """Return a new graph that computes the same with fewer nodes; the given one stays as it is.

    A fused node has the name and source of its first node and the output value of its last.
    """
    result = copy_graph(graph)
    changed = True
    while changed:
        changed = sum(rewrite(result) for rewrite in PASSES) > 0
    return result


def copy_graph(graph: Graph) -> Graph:
    """Return a copy whose nodes can be rewritten; values are shared, as passes replace and never change them."""
    nodes = [
        replace(node, inputs=list(node.inputs), outputs=list(node.outputs), attributes=dict(node.attributes))
        for node in graph.nodes
    ]
    return replace(
        graph,
        nodes=nodes,
        values=dict(graph.values),
        inputs=list(graph.inputs),
        outputs=list(graph.outputs),
        input_layouts=dict(graph.input_layouts),
    )

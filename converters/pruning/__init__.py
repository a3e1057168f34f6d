"""Group pruning by magnitude, and the patterns that pruned models already have."""

from edge_sparse.converters.pruning.group_pruner import GroupPruner
from edge_sparse.converters.pruning.magnitude import PruneResult, prune_graph
from edge_sparse.converters.pruning.options import LayerOverride, PruneOptions, parse_group
from edge_sparse.converters.pruning.patterns import LayerPattern, detect_patterns

__all__ = [
    "GroupPruner",
    "LayerOverride",
    "LayerPattern",
    "PruneOptions",
    "PruneResult",
    "detect_patterns",
    "parse_group",
    "prune_graph",
]

"""Pruned networks that really are smaller and faster."""

from edge_sparse.errors import EdgeSparseError

__all__ = ["EdgeSparseError", "__version__"]

__version__ = "0.1.0"

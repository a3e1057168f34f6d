"""Pruned networks that really are smaller and faster.

>>> import edge_sparse as es                                  # doctest: +SKIP
>>> es.convert(module, (x,), "model.egs", sparsity=0.8)       # doctest: +SKIP
>>> session = es.load("model.egs"); y = session(x_numpy)      # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

from edge_sparse.errors import EdgeSparseError
from edge_sparse.plan import Model
from edge_sparse.session import Session, load
from edge_sparse.summary import inspect
from edge_sparse.validation import validate

__all__ = ["EdgeSparseError", "Model", "Session", "__version__", "convert", "inspect", "load", "validate"]

__version__ = "0.1.0"


def convert(source: Any, *arguments: Any, **options: Any) -> Any:
    """Convert a model to an ``.egs`` file; see ``edge_sparse.converters.convert.convert``.

    The converter is imported on the first call, so that the runtime alone stays small.
    """
    from edge_sparse.converters.convert import convert as implementation

    return implementation(source, *arguments, **options)

"""Pruned networks that really are smaller and faster.

>>> import edge_sparse as es                                  # doctest: +SKIP
>>> es.convert(module, (x,), "model.egs", sparsity=0.8)       # doctest: +SKIP
>>> session = es.load("model.egs"); y = session(x_numpy)      # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edge_sparse.errors import EdgeSparseError

if TYPE_CHECKING:
    from edge_sparse import llm
    from edge_sparse.plan import Model
    from edge_sparse.session import Session, load
    from edge_sparse.summary import inspect
    from edge_sparse.validation import validate

__all__ = ["EdgeSparseError", "Model", "Session", "__version__", "convert", "inspect", "llm", "load", "validate"]

__version__ = "0.1.0"


def convert(source: Any, *arguments: Any, **options: Any) -> Any:
    """Convert a model to an ``.egs`` file; see ``edge_sparse.converters.convert.convert``.

    The converter is imported on the first call, so that the runtime alone stays small.
    """
    from edge_sparse.converters.convert import convert as implementation

    return implementation(source, *arguments, **options)


# Hidden from type checkers, to which it would say that every name exists.
if not TYPE_CHECKING:
    # What needs NumPy is imported when it is asked for: the command line must be able to answer Ctrl-C before.
    _HOMES = {
        "Model": "plan",
        "Session": "session",
        "load": "session",
        "inspect": "summary",
        "validate": "validation",
    }

    def __getattr__(name):
        if name == "llm":
            return importlib.import_module(f"{__name__}.llm")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *_HOMES, "llm"})

"""The source files that decide what a kernel's name stands for, as one hash for the cache's keys."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_sparse import plan

__all__ = ["sources_behind"]

_PACKAGE = __name__.rpartition(".")[0]


def _digest() -> str:
    """Return the hash of this folder's modules and of ``plan.py``, whose values they use; nothing without sources."""
    digest = hashlib.sha256()
    paths = sorted(Path(__file__).parent.glob("*.py"))
    for path in (*paths, Path(plan.__file__)):
        data = path.read_bytes() if path.is_file() else b""
        digest.update(f"{path.name} {len(data)} ".encode() + data)
    return digest.hexdigest() if paths else ""


#: Taken when the modules are imported: what is edited later is not what runs in this process.
_DIGEST = _digest()


def sources_behind(function: Callable[..., Any]) -> str:
    """Return a text that, with a kernel's name, decides the code that this function writes.

    It is empty for functions from elsewhere, and where the package has no source files; then only the code itself can
    tell.
    """
    owner = getattr(function, "__self__", None)
    modules = [function.__module__] + ([] if owner is None else [type(owner).__module__])
    return _DIGEST if all(module.rpartition(".")[0] == _PACKAGE for module in modules) else ""

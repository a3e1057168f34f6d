"""What can be known about the files of a conversion before its work is done."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from edge_sparse.errors import OutputFileError
from edge_sparse.output_file import check_writable, write_files

__all__ = ["check_outputs", "write_files"]


def check_outputs(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse, before a long conversion, what could not be written after it; see ``check_writable``."""
    seen: set[str] = set()
    for path in paths:
        target = os.path.realpath(path)
        if target in seen:
            raise OutputFileError("OUTPUT_SAME", f"two outputs would be {path}", "give them different names")
        seen.add(target)
        check_writable(path, overwrite=overwrite)

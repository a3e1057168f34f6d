"""Writes the files of a conversion: all of them or none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO

from edge_sparse.errors import OutputFileError
from edge_sparse.output_file import check_writable, write_atomically

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


def write_files(contents: Mapping[Path, bytes], *, overwrite: bool) -> None:
    """Write files, each through a temporary one; none gets its name before all are complete on the disk.

    Raises
    ------
    OutputFileError
        See ``write_atomically``. Existing files are as they were, also when the process is interrupted.
    """
    if not contents:
        return
    (path, data), *rest = contents.items()

    def write(file: IO[bytes]) -> None:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        write_files(dict(rest), overwrite=overwrite)

    write_atomically(path, write, overwrite=overwrite)

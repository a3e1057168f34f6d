"""Writing a file all at once: either the new content is there, or what was there before."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from edge_sparse.errors import OutputFileError

__all__ = ["check_writable", "write_atomically"]


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Raise ``OutputFileError`` for what can be known before the work is done."""
    if path.is_dir():
        raise OutputFileError("OUTPUT_NOT_WRITABLE", f"{path} is a folder", "name a file")
    if path.exists() and not path.is_file():
        raise OutputFileError("OUTPUT_NOT_WRITABLE", f"{path} is no regular file", "name a file")
    if path.exists() and not overwrite:
        raise OutputFileError("OUTPUT_EXISTS", f"{path} exists", "name another file or add --force")
    if not path.parent.is_dir():
        raise OutputFileError("OUTPUT_NOT_WRITABLE", f"there is no folder {path.parent}", "make it first")


def write_atomically(path: Path, write: Callable[[IO[bytes]], object], *, overwrite: bool) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then give it that name.

    Raises
    ------
    OutputFileError
        ``OUTPUT_EXISTS``, ``OUTPUT_NOT_WRITABLE`` or ``OUTPUT_DISK_FULL``; an existing file is untouched.
    """
    # A link keeps pointing to its file, which gets the new content.
    path = Path(os.path.realpath(path))
    check_writable(path, overwrite=overwrite)
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:64]}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        _publish(temporary, path, overwrite)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        code = "OUTPUT_DISK_FULL" if full else "OUTPUT_NOT_WRITABLE"
        hint = "free some space" if full else "choose a folder that you may write to"
        raise OutputFileError(code, f"{path}: {error.strerror or error}", hint) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            if temporary:
                os.unlink(temporary)


def _publish(temporary: str, path: Path, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)  # unlike a rename, this fails when another process was faster
    except FileExistsError as error:
        raise OutputFileError("OUTPUT_EXISTS", f"{path} exists", "name another file or add --force") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

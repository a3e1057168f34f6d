"""Writing a file all at once: either the new content is there, or what was there before."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from edge_sparse.errors import OutputFileError

__all__ = ["check_writable", "write_atomically"]


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Raise ``OutputFileError`` for what can be known before the work is done."""
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file"
        raise OutputFileError("OUTPUT_NOT_WRITABLE", f"{path} is {kind}", "name a file")
    if path.exists() and not overwrite:
        raise OutputFileError("OUTPUT_EXISTS", f"{path} exists", "choose another name, or overwrite it with --force")
    if not path.parent.is_dir():
        raise OutputFileError(
            "OUTPUT_FOLDER_MISSING", f"there is no folder {path.parent}", f"mkdir -p {path.parent}, or name another"
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputFileError("OUTPUT_NOT_WRITABLE", f"folder {path.parent} is write-protected", "choose another")


def write_atomically(path: Path, write: Callable[[IO[bytes]], object], *, overwrite: bool) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then give it that name.

    Raises
    ------
    OutputFileError
        ``OUTPUT_EXISTS``, ``OUTPUT_FOLDER_MISSING``, ``OUTPUT_NOT_WRITABLE`` or ``OUTPUT_DISK_FULL``; an existing file
        is untouched, also when the process is interrupted.
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
        os.chmod(temporary, stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask())
        _publish(temporary, path, overwrite)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        code = "OUTPUT_DISK_FULL" if full else "OUTPUT_NOT_WRITABLE"
        hint = "free some space" if full else "choose a folder that you may write to"
        raise OutputFileError(code, f"{path}: {error.strerror or error}", hint) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            if temporary:
                os.unlink(temporary)


def _publish(temporary: str, path: Path, overwrite: bool) -> None:
    """Give the complete file its name; without ``overwrite``, a file that appeared meanwhile is kept."""
    if not overwrite:
        try:
            os.link(temporary, path)
            return
        except OSError:
            # Some file systems have no hard links; there the check and the rename are two steps.
            check_writable(path, overwrite=False)
    os.replace(temporary, path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

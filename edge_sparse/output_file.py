"""Writing files all at once: either the new content is there, or what was there before."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from edge_sparse.errors import OutputFileError

__all__ = ["check_writable", "naming_file", "write_atomically", "write_files"]

#: Fills an open file.
Writer = Callable[[IO[bytes]], object]


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


def write_atomically(path: Path, write: Writer, *, overwrite: bool) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then give it that name.

    Raises
    ------
    OutputFileError
        ``OUTPUT_EXISTS``, ``OUTPUT_FOLDER_MISSING``, ``OUTPUT_NOT_WRITABLE`` or ``OUTPUT_DISK_FULL``; an existing file
        is untouched, also when the process is interrupted.
    """
    _write({path: write}, overwrite)


def write_files(contents: Mapping[Path, bytes], *, overwrite: bool) -> None:
    """Write files as ``write_atomically`` does; none gets its name before all are complete on the disk."""
    _write({path: _writer(data) for path, data in contents.items()}, overwrite)


def _writer(data: bytes) -> Writer:
    return lambda file: file.write(data)


def _write(writers: Mapping[Path, Writer], overwrite: bool) -> None:
    # A link keeps pointing to its file, which gets the new content.
    targets = [Path(os.path.realpath(path)) for path in writers]
    with contextlib.ExitStack() as stack:
        complete = [
            stack.enter_context(_temporary(path, write, overwrite))
            for path, write in zip(targets, writers.values(), strict=True)
        ]
        for temporary, path in zip(complete, targets, strict=True):
            with naming_file(path):
                _publish(temporary, path, overwrite)
    for folder in {path.parent for path in targets}:
        _sync_folder(folder)


@contextlib.contextmanager
def _temporary(path: Path, write: Writer, overwrite: bool) -> Iterator[str]:
    """Give the name of a complete file beside ``path``, which is gone afterwards unless it was renamed."""
    check_writable(path, overwrite=overwrite)
    name = ""
    try:
        with naming_file(path):
            descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", suffix=".tmp", dir=path.parent)
            with os.fdopen(descriptor, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~_umask())
        yield name
    finally:
        with contextlib.suppress(FileNotFoundError):
            if name:
                os.unlink(name)


@contextlib.contextmanager
def naming_file(path: Path) -> Iterator[None]:
    """Turn what the operating system says into the error that names the file."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        code = "OUTPUT_DISK_FULL" if full else "OUTPUT_NOT_WRITABLE"
        hint = "free some space" if full else "choose a folder that you may write to"
        raise OutputFileError(code, f"{path}: {error.strerror or error}", hint) from error


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


def _sync_folder(folder: Path) -> None:
    """Make the new names durable, where folders can be synchronised at all."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

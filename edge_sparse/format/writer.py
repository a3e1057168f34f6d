"""From a model in memory to the bytes of an ``.egs`` file, and to a file that is there completely or not at all."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import IO

from edge_sparse.format.assembly import assemble, file_parts
from edge_sparse.format.reader import parse_model
from edge_sparse.output_file import check_writable, write_atomically
from edge_sparse.plan import Model

__all__ = ["model_bytes", "write_model"]

#: What error messages call a file that has no name yet.
_UNWRITTEN = "the model to be written"


def model_bytes(model: Model) -> bytes:
    """Return the file's bytes; the same model gives the same bytes.

    Raises
    ------
    FileFormatError
        The model breaks a rule of the format: nothing that a reader would refuse is ever written.
    OutputFileError
        ``OUTPUT_MODEL``: a value does not fit its field.
    """
    data = assemble(model)
    parse_model(data, _UNWRITTEN)
    return data


def write_model(model: Model, path: str | os.PathLike[str], *, overwrite: bool = False) -> int:
    """Write a model atomically and return the number of bytes.

    Values go to the disk part by part, and the temporary file is validated before it gets its name, so the memory need
    not hold the file. A file appears under ``path`` complete or not at all: on any error, and when interrupted, an
    existing file stays as it was and no temporary file is left.

    Raises
    ------
    OutputFileError
        ``OUTPUT_EXISTS`` without ``overwrite``; ``OUTPUT_FOLDER_MISSING``, ``OUTPUT_NOT_WRITABLE``,
        ``OUTPUT_DISK_FULL``; ``OUTPUT_MODEL``.
    """
    target = Path(path)
    check_writable(target, overwrite=overwrite)
    parts = file_parts(model)

    def write(file: IO[bytes]) -> None:
        for chunk in parts.chunks():
            file.write(chunk)
        file.flush()
        parse_model(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), _UNWRITTEN)

    write_atomically(target, write, overwrite=overwrite)
    return parts.length

"""From a model in memory to the bytes of an ``.egs`` file, and to a file that is there completely or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from edge_sparse.format.assembly import assemble
from edge_sparse.format.reader import parse_model
from edge_sparse.output_file import check_writable, write_files
from edge_sparse.plan import Model

__all__ = ["model_bytes", "write_model"]


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
    parse_model(data, "the model to be written")
    return data


def write_model(model: Model, path: str | os.PathLike[str], *, overwrite: bool = False) -> int:
    """Write a model atomically and return the number of bytes.

    A file appears under ``path`` complete or not at all: on any error, and when interrupted, an existing file stays
    as it was and no temporary file is left.

    Raises
    ------
    OutputFileError
        ``OUTPUT_EXISTS`` without ``overwrite``; ``OUTPUT_FOLDER_MISSING``, ``OUTPUT_NOT_WRITABLE``,
        ``OUTPUT_DISK_FULL``; ``OUTPUT_MODEL``.
    """
    target = Path(path)
    check_writable(target, overwrite=overwrite)
    data = model_bytes(model)
    write_files({target: data}, overwrite=overwrite)
    return len(data)

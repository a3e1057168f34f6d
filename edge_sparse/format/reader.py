"""From the bytes of an ``.egs`` file to a model: validated completely, before anything else sees it."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import FileFormatError
from edge_sparse.format.container import Container, open_container
from edge_sparse.format.read_descriptions import read_image, read_labels, read_metadata
from edge_sparse.format.read_matrices import read_matrices
from edge_sparse.format.read_plans import read_plans
from edge_sparse.format.read_tensors import read_tensors
from edge_sparse.format.read_tokenizer import read_tokenizer
from edge_sparse.format.spec import ALIGNMENT, ARENA_LIMIT, Section
from edge_sparse.plan import Model

__all__ = ["parse_model", "read_model"]


def read_model(path: str | os.PathLike[str]) -> Model:
    """Open, map and validate a file.

    Records, counts and column indices are copied; values of weights and constants stay in the read-only map, so they
    take memory only when they are used, and another process can share them. Truncating the file while the model is in
    use is an error that the operating system reports by ending the process; replace files by renaming.

    Raises
    ------
    FileFormatError
        The file cannot be read, or breaks a rule of ``docs/format.md``; ``code`` names the rule.
    """
    name = str(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise FileFormatError("FILE_UNREADABLE", f"{name} is not a regular file", "name a file")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data: bytes | mmap.mmap = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""
    except FileNotFoundError:
        raise FileFormatError("FILE_NOT_FOUND", f"there is no file {name}", "check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileFormatError("FILE_UNREADABLE", f"cannot read {name}: {reason}", "check the path") from None
    return parse_model(data, Path(path).name)


def parse_model(data: bytes | memoryview | mmap.mmap, name: str = "") -> Model:
    """Validate the bytes of a file and return its model, whose values are views of ``data``.

    Parameters
    ----------
    data : bytes-like
        The whole file; must not change while the model is used.
    name : str
        What error messages call it.
    """
    try:
        return _model(np.frombuffer(data, np.uint8) if memoryview(data).nbytes else np.zeros(0, np.uint8))
    except FileFormatError as error:
        message = f"{name}: {error.message}" if name else error.message
        raise FileFormatError(error.code, message, error.hint) from None


def _model(data: npt.NDArray[np.uint8]) -> Model:
    data = data.view()
    data.flags.writeable = False
    container = open_container(data)
    state_bytes = _state_bytes(container)
    tensors = read_tensors(container, state_bytes)
    matrices = read_matrices(container)
    plans = read_plans(container, tensors, matrices)
    model = Model(
        plans,
        matrices,
        state_bytes,
        read_labels(container),
        read_image(container, plans),
        read_tokenizer(container),
        read_metadata(container),
    )
    container.blobs.check_all_used()
    return model


def _state_bytes(container: Container) -> int:
    state_bytes = int(container.records(Section.MODEL)[0]["state_bytes"])
    if state_bytes > ARENA_LIMIT or state_bytes % ALIGNMENT:
        raise FileFormatError("MODEL_STATE", f"a state of {state_bytes} bytes", "convert the model again")
    return state_bytes

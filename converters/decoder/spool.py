"""Packed values on the disk until the file is written, so that the memory need not hold a model."""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.format.spec import ALIGNMENT
from edge_sparse.output_file import naming_file

__all__ = ["Spool"]


class Spool:
    """A temporary file without a name, of which arrays are views; it is gone when nobody uses them any more.

    Parameters
    ----------
    folder : Path
        Where the disk must have room.
    capacity : int
        More bytes than will ever be added. The file is sparse, so they cost nothing.

    Raises
    ------
    OutputFileError
        ``OUTPUT_DISK_FULL``, ``OUTPUT_NOT_WRITABLE``.
    """

    def __init__(self, folder: Path, capacity: int) -> None:
        self._label, self._end = folder / "(temporary file)", 0
        with naming_file(self._label):
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
            self._file.truncate(max(1, capacity))
            self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)

    def begin(self) -> int:
        """Return where the next array begins, on a boundary that kernels like."""
        self.add(np.zeros(-self._end % ALIGNMENT, np.uint8))
        return self._end

    def add(self, values: npt.NDArray[Any]) -> None:
        """Append the bytes of an array."""
        data = np.ascontiguousarray(values).view(np.uint8).reshape(-1)
        with naming_file(self._label):
            # Written, not assigned to the map: a full disk is an error then, and not the end of the process.
            self._file.write(data.data)
            self._file.flush()
        self._end += data.size

    def since(self, start: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Return what was added from byte ``start`` on, read-only."""
        return np.frombuffer(self._map, np.uint8, self._end - start, start).view(dtype)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The map keeps the content for the arrays that are still there.
        self._file.close()

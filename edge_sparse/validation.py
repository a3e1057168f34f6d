"""Whether a file obeys every rule of the format."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ValidFile", "validate"]


@dataclass(frozen=True)
class ValidFile:
    """A file that obeys the format: its size and the hexadecimal SHA-256 of its bytes."""

    path: str
    bytes: int
    sha256: str


def validate(path: str | os.PathLike[str]) -> ValidFile:
    """Check a file completely, without running anything.

    Raises
    ------
    FileFormatError
        The file is not a valid model; ``code`` names the rule.
    """
    from edge_sparse.format.reader import read_model

    read_model(Path(path))
    digest, count = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            count += len(block)
    return ValidFile(os.fspath(path), count, digest.hexdigest())

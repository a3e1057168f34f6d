"""Sections and blobs at their places in a file, with offsets and checksums."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge_sparse.format.spec import (
    ALIGNMENT,
    BLOB,
    DIRECTORY_ENTRY,
    HEADER,
    MAGIC,
    OPTIONAL,
    REQUIRED,
    VERSION,
    Section,
)

__all__ = ["FileParts", "lay_out"]


@dataclass(frozen=True)
class FileParts:
    """A file that is not written yet: its parts with their offsets, in order, and its length. The rest is zero.

    Values and constants are views of the model's arrays, so a file may be larger than the memory.
    """

    parts: tuple[tuple[int, bytes | memoryview], ...]
    length: int

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the file's bytes from the first to the last."""
        at = 0
        for offset, part in self.parts:
            yield bytes(offset - at)
            yield part
            at = offset + len(part)


def _round_up(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def lay_out(sections: dict[Section, bytes], blobs: Sequence[memoryview], checksums: bool = True) -> FileParts:
    """Place everything at multiples of 64 and fill in offsets and checksums; those of blobs are zero if unwanted."""
    if blobs:
        sections[Section.BLOBS] = bytes(BLOB.itemsize * len(blobs))
    present = sorted(sections)
    at = HEADER.itemsize + DIRECTORY_ENTRY.itemsize * len(present)
    section_offsets, end = _offsets(at, [len(sections[section]) for section in present])
    blob_offsets, end = _offsets(end, [blob.nbytes for blob in blobs])
    if blobs:
        crcs = [zlib.crc32(blob) if checksums else 0 for blob in blobs]
        rows = [(o, b.nbytes, crc, 0) for o, b, crc in zip(blob_offsets, blobs, crcs, strict=True)]
        sections[Section.BLOBS] = np.array(rows, BLOB).tobytes()
    entries = [
        (
            section,
            0 if section in OPTIONAL else REQUIRED,
            offset,
            len(sections[section]),
            zlib.crc32(sections[section]),
            0,
        )
        for section, offset in zip(present, section_offsets, strict=True)
    ]
    directory = np.array(entries, DIRECTORY_ENTRY).tobytes()
    head = (MAGIC, *VERSION, 0, end, len(present), zlib.crc32(directory), b"", 0)
    header = np.array([head], HEADER).tobytes()[:-4]
    header += struct.pack("<I", zlib.crc32(header))
    placed = zip(section_offsets, (sections[section] for section in present), strict=True)
    first = ((0, header), (HEADER.itemsize, directory))
    return FileParts((*first, *placed, *zip(blob_offsets, blobs, strict=True)), end)


def _offsets(at: int, lengths: Sequence[int]) -> tuple[list[int], int]:
    """Return the offset of every part and the end of the last one, without padding after it."""
    offsets = []
    for length in lengths:
        at = _round_up(at)
        offsets.append(at)
        at += length
    return offsets, at

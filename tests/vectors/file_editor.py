"""Changes fields of a valid file and makes its checksums right again, so that only the broken rule is broken."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from edge_sparse.format.spec import BLOB, DIRECTORY_ENTRY, HEADER, RECORDS, Section

__all__ = ["FileEditor", "appended", "changed", "changed_header", "with_section"]


class FileEditor:
    """The bytes of a file, with writable views of its records."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.header = np.frombuffer(self.data, HEADER, 1)
        count = int(self.header[0]["section_count"])
        self.directory = np.frombuffer(self.data, DIRECTORY_ENTRY, count, HEADER.itemsize)
        places = {int(e["type"]): (int(e["offset"]), int(e["length"])) for e in self.directory}
        self.sections = {}
        for section, (offset, length) in places.items():
            dtype = RECORDS.get(section, np.dtype("u1"))  # type: ignore[call-overload]
            self.sections[section] = np.frombuffer(self.data, dtype, length // dtype.itemsize, offset)
        blobs = self.sections.get(Section.BLOBS, np.zeros(0, BLOB))
        self.blobs = [np.frombuffer(self.data, np.uint8, int(blob["length"]), int(blob["offset"])) for blob in blobs]
        self._blob_places = [(int(blob["offset"]), int(blob["length"])) for blob in blobs]

    def sealed(self) -> bytes:
        """Return the bytes with all checksums right; parts that lie outside the file keep theirs."""
        for number, (offset, length) in enumerate(self._blob_places):
            self.sections[Section.BLOBS][number]["crc"] = zlib.crc32(self.data[offset : offset + length])
        for entry in self.directory:
            offset, length = int(entry["offset"]), int(entry["length"])
            if offset + length <= len(self.data):
                entry["crc"] = zlib.crc32(self.data[offset : offset + length])
        start, end = HEADER.itemsize, HEADER.itemsize + self.directory.nbytes
        self.header[0]["directory_crc"] = zlib.crc32(self.data[start:end])
        self.header[0]["header_crc"] = zlib.crc32(self.data[: HEADER.itemsize - 4])
        return bytes(self.data)


def changed(data: bytes, section: int, row: int = 0, **fields: object) -> bytes:
    """Return the file with some fields of a record changed."""
    editor = FileEditor(data)
    for name, value in fields.items():
        editor.sections[section][row : row + 1][name] = value
    return editor.sealed()


def changed_header(data: bytes, **fields: object) -> bytes:
    """Return the file with some fields of the header changed."""
    editor = FileEditor(data)
    for name, value in fields.items():
        editor.header[name] = value
    return editor.sealed()


def appended(data: bytes, extra: bytes) -> bytes:
    """Return the file with bytes after its end that the header counts."""
    editor = FileEditor(data)
    editor.header[0]["file_length"] = len(data) + len(extra)
    sealed = bytearray(editor.sealed() + extra)
    sealed[HEADER.itemsize - 4 : HEADER.itemsize] = struct.pack("<I", zlib.crc32(sealed[: HEADER.itemsize - 4]))
    return bytes(sealed)


def with_section(data: bytes, kind: int, content: bytes) -> bytes:
    """Return the file with an optional section of a type above all others, and everything after it moved."""
    old = FileEditor(data)
    count = old.directory.size + 1
    result = bytearray(data[: HEADER.itemsize]) + bytearray(count * DIRECTORY_ENTRY.itemsize)

    def add(part: bytes) -> int:
        result.extend(bytes(-len(result) % 64))
        result.extend(part)
        return len(result) - len(part)

    entries = np.zeros(count, DIRECTORY_ENTRY)
    entries[:-1] = old.directory
    for row in range(count - 1):
        offset, length = int(entries[row]["offset"]), int(entries[row]["length"])
        entries[row]["offset"] = add(data[offset : offset + length])
    entries[-1] = (kind, 0, add(content), len(content), 0, 0)
    places = [add(blob.tobytes()) for blob in old.blobs]
    result[HEADER.itemsize : HEADER.itemsize + entries.nbytes] = entries.tobytes()
    np.frombuffer(result, HEADER, 1)["section_count"] = count
    np.frombuffer(result, HEADER, 1)["file_length"] = len(result)
    table = next((int(entry["offset"]) for entry in entries if int(entry["type"]) == Section.BLOBS), 0)
    if places:
        np.frombuffer(result, BLOB, len(places), table)["offset"] = places
    return FileEditor(bytes(result)).sealed()

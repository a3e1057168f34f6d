"""The outer shell of a file: header, directory, sections and blobs, all bytes accounted for and checked."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import FileFormatError
from edge_sparse.format.spec import (
    ALIGNMENT,
    BLOB,
    DIRECTORY_ENTRY,
    HEADER,
    LIMITS,
    MAGIC,
    NONE,
    OPTIONAL,
    RECORDS,
    REQUIRED,
    SECTION_LIMIT,
    VERSION,
    Section,
)

__all__ = ["Blobs", "Container", "Strings", "open_container"]

Bytes = npt.NDArray[np.uint8]

#: Names go to terminals; a terminal obeys these.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_AGAIN = "download or convert it again"
_MANDATORY = (Section.MODEL, Section.TENSORS, Section.STEPS, Section.PLANS, Section.PORTS)


@dataclass(frozen=True)
class Blobs:
    """Blobs by number; remembers which ones a record asked for."""

    places: tuple[tuple[int, int], ...]
    data: Bytes
    used: set[int] = field(default_factory=set)

    def get(self, number: int, owner: str) -> Bytes:
        """Return a blob's bytes, none for ``NONE``."""
        if number == NONE:
            return self.data[:0]
        if number >= len(self.places):
            raise FileFormatError("BLOB_NUMBER", f"{owner} names blob {number} of {len(self.places)}", _AGAIN)
        self.used.add(number)
        offset, length = self.places[number]
        return self.data[offset : offset + length]

    def check_all_used(self) -> None:
        """Refuse bytes that belong to nothing."""
        if len(self.used) != len(self.places):
            unused = min(set(range(len(self.places))) - self.used)
            raise FileFormatError("BLOB_UNUSED", f"no record names blob {unused}", _AGAIN)


@dataclass
class Strings:
    """The string section; remembers which strings a record asked for, so that each is read once."""

    data: bytes
    known: dict[tuple[int, int], str] = field(default_factory=dict)
    named: int = 0

    def get(self, place: tuple[int, int]) -> str:
        """Return the string at (offset, length)."""
        if place in self.known:
            return self.known[place]
        offset, length = place
        if offset + length > len(self.data):
            message = f"a string at byte {offset} of {length} bytes leaves a section of {len(self.data)}"
            raise FileFormatError("STRING_RANGE", message, _AGAIN)
        # Strings that overlap could make a small file name any number of bytes.
        self.named += length
        if self.named > len(self.data):
            message = f"the string at byte {offset} of {length} bytes overlaps with others"
            raise FileFormatError("STRING_OVERLAP", message, _AGAIN)
        try:
            text = self.data[offset : offset + length].decode("utf-8")
        except UnicodeDecodeError:
            raise FileFormatError("STRING_UTF8", f"the string at byte {offset} is not UTF-8", _AGAIN) from None
        if _CONTROL.search(text):
            raise FileFormatError("STRING_CONTROL", f"the string at byte {offset} holds control characters", _AGAIN)
        self.known[place] = text
        return text


@dataclass(frozen=True)
class Container:
    """Sections of known types by type, structured or raw; the structured ones are copies."""

    bytes_of: Mapping[int, bytes]
    blobs: Blobs
    strings: Strings

    def records(self, section: Section) -> npt.NDArray[np.void]:
        """Return a section's records, none if it is absent; their reserved fields are zero."""
        dtype = RECORDS[section]
        rows = np.frombuffer(self.bytes_of.get(section, b""), dtype)
        for name in dtype.names or ():
            if name.startswith("reserved") and any(rows[name].tobytes()):
                raise FileFormatError("RESERVED_NOT_ZERO", f"a reserved field of section {section.name} is set", _AGAIN)
        return rows


def open_container(data: Bytes) -> Container:
    """Check the shell of a file: every byte belongs to a checksummed part or is zero.

    Parameters
    ----------
    data : ndarray of uint8
        The whole file.
    """
    count, directory_crc = _header(data)
    directory_end = HEADER.itemsize + count * DIRECTORY_ENTRY.itemsize
    if directory_end > data.size:
        raise FileFormatError("SECTION_COUNT", f"a directory of {count} sections does not fit the file", _AGAIN)
    directory = data[HEADER.itemsize : directory_end].tobytes()
    if zlib.crc32(directory) != directory_crc:
        raise FileFormatError("DIRECTORY_CRC", "the directory is damaged: its checksum differs", _AGAIN)
    sections, end = _sections(data, np.frombuffer(directory, DIRECTORY_ENTRY), directory_end)
    for section in _MANDATORY:
        if section not in sections:
            raise FileFormatError("SECTION_MISSING", f"there is no section {section.name}", _AGAIN)
    places, end = _blob_places(data, np.frombuffer(sections.get(Section.BLOBS, b""), BLOB), end)
    if end != data.size:
        raise FileFormatError("FILE_TRAILING", f"{data.size - end} bytes follow the last blob", _AGAIN)
    return Container(sections, Blobs(places, data), Strings(sections.get(Section.STRINGS, b"")))


def _header(data: Bytes) -> tuple[int, int]:
    """Return the number of sections and the checksum of the directory."""
    start = data[: HEADER.itemsize].tobytes()
    if start[: len(MAGIC)] != MAGIC[: len(start)]:
        raise FileFormatError("FILE_MAGIC", "this is not an .egs file: " + _guess(start), "convert the model first")
    if len(start) < HEADER.itemsize:
        raise FileFormatError("FILE_TRUNCATED", f"file is {data.size} bytes, a header has 64", _AGAIN)
    header = np.frombuffer(start, HEADER)[0]
    major, minor = int(header["major"]), int(header["minor"])
    if major != VERSION[0]:
        message = f"format version {major}.{minor}, this release reads {VERSION[0]}.x"
        raise FileFormatError("FILE_VERSION", message, "update edge_sparse, or convert the model again")
    if zlib.crc32(start[:-4]) != int(header["header_crc"]):
        raise FileFormatError("HEADER_CRC", "the header is damaged: its checksum differs", _AGAIN)
    length = int(header["file_length"])
    if length > data.size:
        message = f"file is {data.size} bytes, header promises {length}: the download is incomplete"
        raise FileFormatError("FILE_TRUNCATED", message, _AGAIN)
    if length < data.size:
        raise FileFormatError("FILE_TRAILING", f"file is {data.size} bytes, header promises {length}", _AGAIN)
    if int(header["flags"]) or any(header["reserved"].tobytes()):
        raise FileFormatError("HEADER_RESERVED", "a reserved field of the header is set", _AGAIN)
    count = int(header["section_count"])
    if not 0 < count <= SECTION_LIMIT:
        raise FileFormatError("SECTION_COUNT", f"{count} sections are not 1 to {SECTION_LIMIT}", _AGAIN)
    return count, int(header["directory_crc"])


def _guess(start: bytes) -> str:
    if start[:4] == MAGIC[:4]:
        return "it was transferred as text"
    known = {b"PK": "a zip archive, perhaps a torch file", b"\x1f\x8b": "gzip data", b"TFL3": "a LiteRT model"}
    for magic, kind in known.items():
        if start.startswith(magic) or start[4:].startswith(magic):
            return f"it looks like {kind}"
    return f"it begins with {start[:8].hex(' ')}"


def _sections(data: Bytes, entries: npt.NDArray[np.void], end: int) -> tuple[dict[int, bytes], int]:
    """Return copies of all known sections, and where the last one ends."""
    result: dict[int, bytes] = {}
    previous = 0
    for kind, flags, offset, length, crc, reserved in entries.tolist():
        known = kind in RECORDS or kind in (Section.STRINGS, Section.METADATA)
        name = Section(kind).name if known else str(kind)
        if kind <= previous:
            raise FileFormatError("SECTION_ORDER", f"section {name} is repeated or out of order", _AGAIN)
        previous = kind
        if flags & ~REQUIRED or reserved or (known and bool(flags) != (kind not in OPTIONAL)):
            raise FileFormatError("SECTION_FLAGS", f"section {name} has flags {flags:#x}", _AGAIN)
        if flags and not known:
            message = f"the file needs section {name}, which this release does not know"
            raise FileFormatError("SECTION_UNKNOWN", message, "update edge_sparse")
        end = _next(data, end, offset, length, "SECTION_OFFSET", f"section {name}")
        if known:
            _check_size(Section(kind), length)
        part = data[offset:end]
        if zlib.crc32(part.data) != crc:
            raise FileFormatError("SECTION_CRC", f"section {name} is damaged: its checksum differs", _AGAIN)
        if known:
            result[kind] = part.tobytes()
    return result, end


def _check_size(section: Section, length: int) -> None:
    size = RECORDS[section].itemsize if section in RECORDS else 1
    if length % size or not 0 < length // size <= LIMITS[section]:
        message = f"section {section.name} has {length} bytes in records of {size}, at most {LIMITS[section]}"
        raise FileFormatError("SECTION_SIZE", message, _AGAIN)


def _next(data: Bytes, end: int, offset: int, length: int, code: str, name: str) -> int:
    """Check that a part begins at the first multiple of 64 after ``end``, after zeros; return its own end."""
    expected = -(-end // ALIGNMENT) * ALIGNMENT
    if offset != expected or not 0 < length <= data.size - offset:
        message = f"{name} lies at byte {offset} with {length} bytes, not at {expected} inside {data.size} bytes"
        raise FileFormatError(code, message, _AGAIN)
    if data[end:offset].any():
        raise FileFormatError("PADDING_NOT_ZERO", f"the padding before {name} is not zero", _AGAIN)
    return offset + length


def _blob_places(data: Bytes, rows: npt.NDArray[np.void], end: int) -> tuple[tuple[tuple[int, int], ...], int]:
    places = []
    for number, (offset, length, crc, reserved) in enumerate(rows.tolist()):
        if reserved:
            raise FileFormatError("RESERVED_NOT_ZERO", f"the reserved field of blob {number} is set", _AGAIN)
        end = _next(data, end, offset, length, "BLOB_OFFSET", f"blob {number}")
        if zlib.crc32(data[offset:end].data) != crc:
            raise FileFormatError("BLOB_CRC", f"blob {number} is damaged: its checksum differs", _AGAIN)
        places.append((offset, length))
    return tuple(places), end

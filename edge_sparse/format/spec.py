"""Byte layout of an ``.egs`` file, version 1. ``docs/format.md`` is the normative text; this mirrors it.

All numbers are little-endian. A string is a pair (offset, length) into the string section.
"""

from __future__ import annotations

import enum

import numpy as np

__all__ = [
    "ALIGNMENT",
    "ARENA_LIMIT",
    "BAND",
    "BLOB",
    "DIRECTORY_ENTRY",
    "HEADER",
    "IMAGE",
    "LABEL",
    "LIMITS",
    "MAGIC",
    "MATCHED_LIMIT",
    "MATRIX",
    "MATRIX_LIMIT",
    "MODEL",
    "NONE",
    "OPTIONAL",
    "PLAN",
    "PORT",
    "READ_MARGIN",
    "RECORDS",
    "REQUIRED",
    "SECTION_LIMIT",
    "SHARED_BYTES",
    "SHARED_TIMES",
    "STEP",
    "TEMPLATE_LIMIT",
    "TENSOR",
    "TOKENIZER",
    "TOKENIZER_FLAGS",
    "VERSION",
    "WINDOW_LIMIT",
    "IndexEncoding",
    "Section",
]

#: The high byte, CR LF and Ctrl-Z reveal transfers that change text, as in PNG.
MAGIC = b"\x89EGS\r\n\x1a\n"
VERSION = (1, 0)
#: Sections and blobs begin at multiples of this; the bytes between are zero.
ALIGNMENT = 64
#: Number of an absent blob.
NONE = 0xFFFFFFFF
#: Directory flag: a reader that does not know the section must refuse the file.
REQUIRED = 1


class Section(enum.IntEnum):
    """Section types, in file order. Each occurs at most once."""

    STRINGS = 1
    MODEL = 2
    TENSORS = 3
    BANDS = 4
    MATRICES = 5
    STEPS = 6
    PLANS = 7
    PORTS = 8
    BLOBS = 9
    LABELS = 10
    IMAGE = 11
    TOKENIZER = 12
    METADATA = 13


#: Sections that only describe the model to people and callers; all others are ``REQUIRED``.
OPTIONAL = frozenset({Section.LABELS, Section.IMAGE, Section.TOKENIZER, Section.METADATA})


class IndexEncoding(enum.IntEnum):
    """How the kept columns of a matrix are stored."""

    DENSE = 0
    BITMAP = 1
    DELTA = 2


_STRING = [("offset", "<u4"), ("length", "<u4")]

HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("major", "<u2"),
        ("minor", "<u2"),
        ("flags", "<u4"),
        ("file_length", "<u8"),
        ("section_count", "<u4"),
        ("directory_crc", "<u4"),
        ("reserved", "V28"),
        ("header_crc", "<u4"),
    ]
)
DIRECTORY_ENTRY = np.dtype(
    [
        ("type", "<u4"),
        ("flags", "<u4"),
        ("offset", "<u8"),
        ("length", "<u8"),
        ("crc", "<u4"),
        ("reserved", "<u4"),
    ]
)
MODEL = np.dtype([("state_bytes", "<u8"), ("reserved", "V24")])
TENSOR = np.dtype(
    [
        ("name", _STRING),
        ("dtype", "u1"),
        ("layout", "u1"),
        ("storage", "u1"),
        ("rank", "u1"),
        ("symbol_axis", "<i4"),
        ("offset", "<u8"),
        ("shape", "<u8", 6),
        ("strides", "<u8", 6),
        ("border", "<u4", 4),
        ("extent", "<u8", 2),
        ("scale", "<f4"),
        ("zero_point", "<i4"),
        ("blob", "<u4"),
        ("reserved", "<u4"),
    ]
)
BAND = np.dtype([("first_row", "<u4"), ("rows", "<u4"), ("group", "<u4"), ("reserved", "<u4")])
MATRIX = np.dtype(
    [
        ("name", _STRING),
        ("rows", "<u4"),
        ("columns", "<u4"),
        ("first_band", "<u4"),
        ("band_count", "<u4"),
        ("dtype", "u1"),
        ("index", "u1"),
        ("reserved", "<u2"),
        ("segment", "<u4"),
        ("counts_blob", "<u4"),
        ("index_blob", "<u4"),
        ("values_blob", "<u4"),
        ("scales_blob", "<u4"),
    ]
)
STEP = np.dtype(
    [
        ("op", "<u2"),
        ("input_count", "u1"),
        ("output_count", "u1"),
        ("reserved", "<u4"),
        ("name", _STRING),
        ("inputs", "<i4", 8),
        ("outputs", "<i4", 2),
        ("words", "<u4", 16),
        ("reserved2", "<u8"),
    ]
)
PLAN = np.dtype(
    [
        ("name", _STRING),
        ("first_step", "<u4"),
        ("step_count", "<u4"),
        ("first_port", "<u4"),
        ("input_count", "<u4"),
        ("output_count", "<u4"),
        ("symbol_max", "<u4"),
        ("arena_bytes", "<u8"),
        ("symbol", _STRING),
        ("reserved", "V16"),
    ]
)
PORT = np.dtype("<u4")
BLOB = np.dtype([("offset", "<u8"), ("length", "<u8"), ("crc", "<u4"), ("reserved", "<u4")])
LABEL = np.dtype(_STRING)
IMAGE = np.dtype(
    [
        ("height", "<u4"),
        ("width", "<u4"),
        ("channels", "<u4"),
        ("resize", "<u4"),
        ("mean", "<f4", 4),
        ("std", "<f4", 4),
        ("bgr", "<u4"),
        ("reserved", "V12"),
    ]
)
TOKENIZER = np.dtype(
    [
        ("kind", "<u4"),
        ("piece_count", "<u4"),
        ("merge_count", "<u4"),
        ("bos", "<i4"),
        ("eos", "<i4"),
        ("unknown", "<i4"),
        ("lengths_blob", "<u4"),
        ("bytes_blob", "<u4"),
        ("scores_blob", "<u4"),
        ("merges_blob", "<u4"),
        ("temperature", "<f4"),
        ("top_k", "<u4"),
        ("top_p", "<f4"),
        ("pre_tokenizer", "u1"),
        ("normaliser", "u1"),
        ("flags", "<u2"),
        ("marks_blob", "<u4"),
        ("template_blob", "<u4"),
    ]
)

#: Record type of every section that holds records.
RECORDS = {
    Section.MODEL: MODEL,
    Section.TENSORS: TENSOR,
    Section.BANDS: BAND,
    Section.MATRICES: MATRIX,
    Section.STEPS: STEP,
    Section.PLANS: PLAN,
    Section.PORTS: PORT,
    Section.BLOBS: BLOB,
    Section.LABELS: LABEL,
    Section.IMAGE: IMAGE,
    Section.TOKENIZER: TOKENIZER,
}
#: Largest number of records (bytes for strings and metadata) of a section.
LIMITS = {
    **dict.fromkeys(Section, 1 << 20),
    Section.STRINGS: 16 << 20,
    # Every step may have to be compared with all before it.
    Section.STEPS: 1 << 13,
    Section.MODEL: 1,
    Section.IMAGE: 1,
    Section.TOKENIZER: 1,
    Section.PLANS: 64,
}
#: Bits of a tokenizer's flags, in this order, and the kind that each belongs to (0: all).
TOKENIZER_FLAGS = {"add_bos": 0, "dummy_prefix": 2, "byte_fallback": 2, "whole_words": 3}
#: Largest number of pieces that are looked for in every text.
MATCHED_LIMIT = 1 << 13
#: Largest chat template in bytes.
TEMPLATE_LIMIT = 1 << 16
#: Largest number of sections.
SECTION_LIMIT = 64
#: Largest arena, state or tensor in bytes.
ARENA_LIMIT = 1 << 32
#: Largest number of rows times columns of a matrix.
MATRIX_LIMIT = 1 << 32
#: Matrices may name at most so many times the file's length, plus so many bytes, of blobs.
SHARED_TIMES = 4
SHARED_BYTES = 1 << 18
#: Largest kernel, stride, dilation and padding of a window.
WINDOW_LIMIT = 1 << 16
#: Bytes before and after the arena that a runtime keeps readable: vectors may be read, never written, across its ends.
READ_MARGIN = 4096

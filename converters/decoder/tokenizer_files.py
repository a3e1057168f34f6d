"""Tokenizers of llama2.c (``tok.bin``) and SentencePiece (``tokenizer.model``): scored merges."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from edge_sparse.errors import ConvertError
from edge_sparse.tokenizer import Mark, Tokenizer, TokenizerKind

__all__ = ["tokenizer_from_file", "tokenizer_from_llama2c", "tokenizer_from_sentencepiece"]

_BOS, _EOS = 1, 2
#: Piece types of SentencePiece.
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
#: Model types of SentencePiece.
_BPE, _CHARACTERS = 2, 4
_SPACE = "\u2581"


def tokenizer_from_file(path: str | os.PathLike[str]) -> Tokenizer:
    """Return the tokenizer of a ``.bin``, ``.model`` or ``.json`` file.

    Raises
    ------
    ConvertError
        ``TOKENIZER_FILE``: it cannot be read or is none of these; ``TOKENIZER_UNSUPPORTED``: it works in another way.
    """
    path = Path(path)
    if path.suffix == ".json":
        from edge_sparse.converters.decoder.tokenizer_json import tokenizer_from_json

        return tokenizer_from_json(path)
    if path.suffix == ".model":
        return tokenizer_from_sentencepiece(path)
    if path.suffix == ".bin":
        return tokenizer_from_llama2c(path)
    raise ConvertError(
        "TOKENIZER_FILE", f"{path} is no tokenizer file", "pass tokenizer.json, tokenizer.model or llama2.c's tok.bin"
    )


def tokenizer_from_llama2c(path: str | os.PathLike[str]) -> Tokenizer:
    """Return llama2.c's tokenizer: pieces with scores, BOS 1, EOS 2, both of which end a text."""
    data, at = _bytes(path), 4
    pieces, scores = [], []
    while at + 8 <= len(data):
        score, length = struct.unpack_from("<fi", data, at)
        at += 8 + length
        if length < 0 or at > len(data):
            break
        pieces.append(data[at - length : at])
        scores.append(score)
    if at != len(data) or not pieces:
        raise ConvertError("TOKENIZER_FILE", f"{path} ends inside a piece", "export it again with llama2.c")
    marks = bytearray(len(pieces))
    for token in (_BOS, _EOS):
        if token < len(marks):
            marks[token] = Mark.HIDDEN | Mark.END
    return Tokenizer(
        TokenizerKind.SCORED,
        tuple(pieces),
        tuple(scores),
        bos=_BOS if len(pieces) > _BOS else -1,
        eos=_EOS if len(pieces) > _EOS else -1,
        unknown=0,
        top_p=_float32(0.9),
        add_bos=len(pieces) > _BOS,
        dummy_prefix=True,
        byte_fallback=b"<0x00>" in pieces,
        marks=bytes(marks),
    )


def tokenizer_from_sentencepiece(path: str | os.PathLike[str]) -> Tokenizer:
    """Return the tokenizer of a SentencePiece model of type BPE or characters."""
    pieces: list[bytes] = []
    scores: list[float] = []
    marks = bytearray()
    unknown, trainer, normaliser = -1, {}, {}
    try:
        for number, value in _fields(_bytes(path)):
            if number == 1 and isinstance(value, bytes):
                piece = dict(_fields(value))
                kind = piece.get(3, 1)
                pieces.append(bytes(piece.get(1, b"")).decode().replace(_SPACE, " ").encode())
                scores.append(struct.unpack("<f", piece.get(2, bytes(4)))[0])
                marks.append({_CONTROL: Mark.MATCHED | Mark.HIDDEN, _USER_DEFINED: Mark.MATCHED}.get(kind, 0))
                unknown = len(pieces) - 1 if kind == _UNKNOWN else unknown
            elif number in (2, 3) and isinstance(value, bytes):
                (trainer if number == 2 else normaliser).update(_fields(value))
    except (ValueError, IndexError, TypeError, struct.error) as error:
        message = f"{path} is no SentencePiece model: {error}"
        raise ConvertError("TOKENIZER_FILE", message, "pass a tokenizer.model file") from error
    if not pieces:
        raise ConvertError("TOKENIZER_FILE", f"{path} holds no pieces", "pass a tokenizer.model file")
    if trainer.get(3, 1) not in (_BPE, _CHARACTERS):
        message = f"{path} is a SentencePiece model of type {trainer.get(3, 1)}, not BPE (2) or characters (4)"
        raise ConvertError("TOKENIZER_UNSUPPORTED", message, "unigram models are not converted")
    bos, eos = _signed(trainer.get(41, _BOS)), _signed(trainer.get(42, _EOS))
    if 0 <= eos < len(marks):
        marks[eos] |= Mark.END
    return Tokenizer(
        TokenizerKind.SCORED,
        tuple(pieces),
        tuple(scores),
        bos=bos,
        eos=eos,
        unknown=unknown,
        add_bos=bos >= 0,
        dummy_prefix=bool(normaliser.get(3, 1)),
        byte_fallback=bool(trainer.get(35, 0)),
        marks=bytes(marks),
    )


def _bytes(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConvertError("TOKENIZER_FILE", f"{path}: {error.strerror}", "check the path") from error


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of the fields of a protocol buffer; fixed-width numbers as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        length, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind] if kind in (1, 5) else -1, at)
        if length < 0 or at + length > len(data):
            raise ValueError("a field does not fit")
        yield key >> 3, data[at : at + length]
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number does not end")


def _signed(value: int) -> int:
    """Return a 32-bit field whose negative numbers are written in 64 bits."""
    return value - (1 << 64) if value >= 1 << 63 else value


def _float32(value: float) -> float:
    """Return the number that the file can hold."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])

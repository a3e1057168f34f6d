"""``TextCodec``: text to token numbers and back, by the rules of the file's tokenizer record."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from edge_sparse.errors import InputError
from edge_sparse.tokenizer import Mark, Tokenizer, TokenizerKind

__all__ = ["TextCodec"]

_BYTE_PIECE = re.compile(rb"<0x([0-9A-F]{2})>")


class PartEncoder(Protocol):
    """Encodes a text in which no special piece occurs."""

    def encode(self, part: bytes, *, begins: bool) -> list[int]:
        """Return the tokens of UTF-8 bytes; ``begins`` tells that nothing stands before them."""
        ...


class TextCodec:
    """Encodes prompts and decodes what a model answers.

    Parameters
    ----------
    tokenizer : Tokenizer
        The file's record.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        marks = tokenizer.marks
        # Vocabularies are large and few pieces are marked: look at those alone.
        marked = {token: marks[token] for token in np.flatnonzero(np.frombuffer(marks, np.uint8)).tolist()}
        own = {tokenizer.bos, tokenizer.eos}
        self._hidden = {token for token, mark in marked.items() if mark & Mark.HIDDEN} | own
        self._ends = {token for token, mark in marked.items() if mark & Mark.END} | {tokenizer.eos}
        matched = [(tokenizer.pieces[token], token) for token, mark in marked.items() if mark & Mark.MATCHED]
        self._special = {piece: token for piece, token in reversed(matched) if piece}
        longest_first = sorted(self._special, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first))) if longest_first else None

    @functools.cached_property
    def _encoder(self) -> PartEncoder:
        """Made when a text is encoded: it takes a second for large vocabularies, and decoding does not need it."""
        return _part_encoder(self.tokenizer)

    def encode(self, text: str, *, add_bos: bool | None = None) -> list[int]:
        """Return the tokens of a text.

        Parameters
        ----------
        text : str
            Special pieces in it become their tokens.
        add_bos : bool, optional
            Begin with ``bos``; by default as the record says.

        Raises
        ------
        InputError
            ``TEXT_UTF8``: the text holds surrogates; ``TEXT_NOT_ENCODABLE``: the vocabulary lacks a character.
        MissingExtraError
            Byte-level BPE needs the package ``tokenizers``.
        FileFormatError
            ``TOKENIZER_VALUES``: a merge makes bytes that are no piece.
        """
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError("TEXT_UTF8", "the text is not valid Unicode", "check the encoding it came in") from error
        tokens = [self.tokenizer.bos] if (self.tokenizer.add_bos if add_bos is None else add_bos) else []
        for begins, part, special in self._parts(data):
            tokens += [special] if special >= 0 else self._encoder.encode(part, begins=begins)
        return tokens

    def _parts(self, data: bytes) -> Iterator[tuple[bool, bytes, int]]:
        """Yield what lies between special pieces, and these with their tokens (else -1)."""
        at = 0
        for match in self._pattern.finditer(data) if self._pattern else ():
            if match.start() > at:
                yield at == 0, data[at : match.start()], -1
            yield False, b"", self._special[match.group()]
            at = match.end()
        if at < len(data):
            yield at == 0, data[at:], -1

    def piece(self, token: int, previous: int = -1) -> bytes:
        """Return the bytes that a token shows after another one; none for hidden and unknown tokens."""
        if token in self._hidden or token < 0:
            return b""
        if self.tokenizer.kind == TokenizerKind.BYTES:
            return bytes([token]) if token < 256 else b""
        if token >= len(self.tokenizer.pieces):
            return b""
        piece = self.tokenizer.pieces[token]
        if self.tokenizer.kind == TokenizerKind.SCORED:
            if match := _BYTE_PIECE.fullmatch(piece):
                return bytes([int(match[1], 16)])
            if previous == self.tokenizer.bos >= 0 and piece[:1] == b" ":
                return piece[1:]
        return piece

    def decode(self, tokens: Iterable[int], previous: int = -1) -> str:
        """Return the text of tokens; bytes that are not UTF-8 become U+FFFD."""
        shown = bytearray()
        for token in tokens:
            shown += self.piece(token, previous)
            previous = token
        return shown.decode("utf-8", "replace")

    def ends(self, token: int) -> bool:
        """Return whether generation ends at this token."""
        return token in self._ends

    def special_text(self, token: int) -> str:
        """Return the text that stands for a special token in chat templates; empty where there is none."""
        pieces: Sequence[bytes] = self.tokenizer.pieces
        return pieces[token].decode("utf-8", "replace").strip("\n") if 0 <= token < len(pieces) else ""


class _ByteEncoder:
    """Every byte is the token of its value."""

    def encode(self, part: bytes, *, begins: bool) -> list[int]:
        return list(part)


def _part_encoder(tokenizer: Tokenizer) -> PartEncoder:
    if tokenizer.kind == TokenizerKind.BYTES:
        return _ByteEncoder()
    if tokenizer.kind == TokenizerKind.SCORED:
        from edge_sparse.llm.scored_merges import ScoredMergeEncoder

        return ScoredMergeEncoder(tokenizer)
    from edge_sparse.llm.byte_level_bpe import ByteLevelEncoder

    return ByteLevelEncoder(tokenizer)

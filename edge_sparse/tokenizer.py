"""``Tokenizer``: how text becomes token numbers and back, as the file's record says it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Mark", "Normaliser", "PreTokenizer", "Tokenizer", "TokenizerKind"]


class TokenizerKind(enum.IntEnum):
    """The algorithm; ``docs/format.md`` section 6 defines each."""

    BYTES = 1
    SCORED = 2
    RANKED = 3


class PreTokenizer(enum.IntEnum):
    """How byte-level BPE cuts text before pieces are joined; merges never cross these cuts."""

    NONE = 0
    GPT2 = 1
    LLAMA3 = 2
    QWEN2 = 3
    DIGITS = 4


class Normaliser(enum.IntEnum):
    """What happens to text before everything else."""

    NONE = 0
    NFC = 1


class Mark(enum.IntFlag):
    """What is special about a piece.

    ``MATCHED``: found as a whole in the text, before the text between is cut. ``HIDDEN``: never shown. ``END``: ends
    generation.
    """

    MATCHED = 1
    HIDDEN = 2
    END = 4


@dataclass(frozen=True)
class Tokenizer:
    """A vocabulary as bytes, and the sampling that its model was made for.

    Parameters
    ----------
    kind : int
        1 bytes, 2 scored merges (llama2.c), 3 byte-level BPE with ranked merges; see ``TokenizerKind``.
    pieces : tuple of bytes
        Token number to bytes; none for kind 1, whose tokens are the bytes.
    scores : tuple of float
        Kind 2: one per piece.
    merges : tuple of (int, int)
        Kind 3: pairs of pieces that are joined, best first.
    bos, eos, unknown : int
        Token that begins a text, token that ends it, token for what has no other; -1: none.
    temperature, top_k, top_p : float, int, float
        Sampling defaults: 0 always takes the likeliest token, 0 all tokens, 1 all tokens.
    pre_tokenizer, normaliser : PreTokenizer, Normaliser
        Kind 3.
    add_bos : bool
        Texts begin with ``bos``.
    dummy_prefix : bool
        Kind 2: a text that is not empty begins with one more space.
    byte_fallback : bool
        Kind 2: characters without a piece become the pieces ``<0xNN>`` of their bytes.
    whole_words : bool
        Kind 3: a cut of the text that is a piece is taken as it is, whatever the merges would make of it.
    marks : bytes
        One ``Mark`` per piece, or empty: none is special.
    chat_template : str
        Jinja template that makes a prompt of a conversation; empty: none.
    """

    kind: int
    pieces: tuple[bytes, ...]
    scores: tuple[float, ...] = ()
    merges: tuple[tuple[int, int], ...] = ()
    bos: int = -1
    eos: int = -1
    unknown: int = -1
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    pre_tokenizer: PreTokenizer = PreTokenizer.NONE
    normaliser: Normaliser = Normaliser.NONE
    add_bos: bool = False
    dummy_prefix: bool = False
    byte_fallback: bool = False
    whole_words: bool = False
    marks: bytes = b""
    chat_template: str = ""

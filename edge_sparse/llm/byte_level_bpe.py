"""``ByteLevelEncoder``: byte-level BPE through the package ``tokenizers``, built from the file's record alone."""

from __future__ import annotations

from typing import Any

from edge_sparse.errors import FileFormatError, InputError, MissingExtraError
from edge_sparse.tokenizer import Normaliser, PreTokenizer, Tokenizer

__all__ = ["CUTS", "ByteLevelEncoder", "byte_alphabet"]

_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_MODERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}NUMBERS| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
#: Expressions by which text is cut, one after the other; ``docs/format.md`` section 6 lists them.
CUTS: dict[PreTokenizer, tuple[str, ...]] = {
    PreTokenizer.NONE: (),
    PreTokenizer.GPT2: (_WORDS,),
    PreTokenizer.LLAMA3: (_MODERN.replace("NUMBERS", "{1,3}"),),
    PreTokenizer.QWEN2: (_MODERN.replace("NUMBERS", ""),),
    PreTokenizer.DIGITS: (r"\p{N}", _WORDS),
}


def byte_alphabet() -> dict[int, str]:
    """Return the character by which GPT-2's files write every byte."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + n) for n, byte in enumerate(others)}


class ByteLevelEncoder:
    """Cuts text by an expression and joins bytes by ranked merges."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._library = _library(tokenizer)
        self._bytes = {piece[0] for piece in tokenizer.pieces if len(piece) == 1}

    def encode(self, part: bytes, *, begins: bool) -> list[int]:
        """Return the tokens of UTF-8 bytes."""
        missing = set(part) - self._bytes
        if missing:
            message = f"the vocabulary has no token for byte 0x{min(missing):02X}"
            raise InputError("TEXT_NOT_ENCODABLE", message, "leave the character out, or use another model")
        tokens: list[int] = self._library.encode(part.decode("utf-8"), add_special_tokens=False).ids
        return tokens


def _library(tokenizer: Tokenizer) -> Any:
    """Return a ``tokenizers.Tokenizer``; special pieces are none of its business, ``TextCodec`` finds them."""
    try:
        import tokenizers
    except ImportError as error:
        message = "byte-level BPE needs the package tokenizers"
        raise MissingExtraError("EXTRA_MISSING", message, "pip install 'edge_sparse[llm]'") from error
    from tokenizers import models, normalizers, pre_tokenizers

    letters = byte_alphabet()
    names = [piece.decode("latin-1").translate(letters) for piece in tokenizer.pieces]
    vocabulary: dict[str, int] = {}
    for token, name in enumerate(names):
        if name:
            vocabulary.setdefault(name, token)
    merges = [(names[left], names[right]) for left, right in tokenizer.merges]
    for left, right in merges:
        if left + right not in vocabulary or not left or not right:
            message = f"the tokenizer joins {left!r} and {right!r}, which make no piece"
            raise FileFormatError("TOKENIZER_VALUES", message, "convert the model again")
    model = models.BPE(vocabulary, merges, ignore_merges=tokenizer.whole_words)
    library: Any = tokenizers.Tokenizer(model)
    if tokenizer.normaliser == Normaliser.NFC:
        library.normalizer = normalizers.NFC()
    cuts = [pre_tokenizers.Split(tokenizers.Regex(cut), "isolated") for cut in CUTS[tokenizer.pre_tokenizer]]
    library.pre_tokenizer = pre_tokenizers.Sequence([*cuts, pre_tokenizers.ByteLevel(False, use_regex=False)])
    return library

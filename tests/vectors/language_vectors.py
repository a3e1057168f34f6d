"""Writes ``generation.json`` and ``tokenization.json``: what sampling and tokenizers must give in every language.

``python tests/vectors/language_vectors.py`` writes the same bytes every time.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np

from edge_sparse.llm.pcg32 import Pcg32
from edge_sparse.llm.sampling import Sampling, choose_token
from edge_sparse.llm.text_codec import TextCodec
from edge_sparse.tokenizer import Mark, Normaliser, PreTokenizer, Tokenizer

__all__ = ["generation_vectors", "record_of", "tokenization_vectors"]

FOLDER = Path(__file__).parent
SETTINGS: tuple[dict[str, float], ...] = (
    {"temperature": 0.0},
    {"temperature": 0.0, "repetition_penalty": 1.5},
    {"temperature": 1.0},
    {"temperature": 0.7, "top_k": 5},
    {"temperature": 1.3, "top_p": 0.8},
    {"temperature": 1.0, "min_p": 0.2},
    {"temperature": 0.9, "top_k": 20, "top_p": 0.9, "min_p": 0.05, "repetition_penalty": 1.2},
)
TEXTS = (
    "",
    "Hello, world! It's 12345 o'clock.",
    "  two  spaces\n\n and\tlines \r\n",
    "na\u00efve e\u0301clair \u65e5\u672c \U0001f600 \u00bd",
    "<|user|>hi<|end|> <|us",
)


def generation_vectors() -> dict[str, object]:
    """Return random numbers, logits, and the tokens that every setting chooses.

    The logits of step n are row n modulo the rows; the repetition penalty sees the prompt and what was chosen.
    """
    # Multiples of 1/8 are the same in every language, and some are equal.
    logits = np.random.default_rng(11).integers(-40, 40, (6, 40)).astype(np.float32) / 8
    prompt, seed, cases = [3, 7], 42, []
    for options in SETTINGS:
        sampling, random, tokens = Sampling(**options), Pcg32(seed), list(prompt)  # type: ignore[arg-type]
        for step in range(24):
            tokens.append(choose_token(logits[step % len(logits)], sampling, random, tokens))
        cases.append({**options, "tokens": tokens[len(prompt) :]})
    random = Pcg32(seed)
    numbers = [random.next() for _ in range(16)]
    return {"seed": seed, "numbers": numbers, "prompt": prompt, "logits": logits.tolist(), "cases": cases}


def tokenization_vectors() -> list[dict[str, object]]:
    """Return tokenizer records with the tokens of some texts, and what these show."""
    result = []
    for record in (_bytes(), _scored(), _ranked(PreTokenizer.LLAMA3, True), _ranked(PreTokenizer.DIGITS, False)):
        codec = TextCodec(record)
        cases = []
        for text in TEXTS:
            tokens = codec.encode(text)
            cases.append({"text": text, "tokens": tokens, "shown": codec.decode(tokens)})
        described = {field.name: getattr(record, field.name) for field in fields(record)}
        described["pieces"] = [piece.hex() for piece in record.pieces]
        described["marks"] = record.marks.hex()
        result.append({"record": described, "cases": cases})
    return result


def record_of(described: dict[str, object]) -> Tokenizer:
    """Return the record that ``tokenization_vectors`` described."""
    values = dict(described)
    values["pieces"] = tuple(bytes.fromhex(piece) for piece in described["pieces"])  # type: ignore[attr-defined]
    values["merges"] = tuple((left, right) for left, right in described["merges"])  # type: ignore[attr-defined]
    values["marks"] = bytes.fromhex(str(described["marks"]))
    values["scores"] = tuple(described["scores"])  # type: ignore[arg-type]
    return Tokenizer(**values)  # type: ignore[arg-type]


def _bytes() -> Tokenizer:
    return Tokenizer(1, (), bos=0, add_bos=True)


def _scored() -> Tokenizer:
    pieces = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % byte for byte in range(256)), *b" |,|e|l|o|H|w|t".split(b"|")]
    pieces += [b"He", b"ll", b"llo", b"Hello", b" w", b"wo", b"o ", b"  ", b" t", b"two", b"<|user|>"]
    scores = [0.0] * 259 + [float(-(place * 7 % 5)) for place in range(len(pieces) - 259)]
    marks = bytearray(len(pieces))
    marks[-1], marks[1], marks[2] = Mark.MATCHED, Mark.HIDDEN, Mark.HIDDEN | Mark.END
    flags = {"add_bos": True, "dummy_prefix": True, "byte_fallback": True}
    return Tokenizer(2, tuple(pieces), tuple(scores), bos=1, eos=2, unknown=0, marks=bytes(marks), **flags)


def _ranked(cut: PreTokenizer, whole_words: bool) -> Tokenizer:
    """Return byte-level BPE trained on the texts: always the most frequent pair, of equal ones the smaller bytes."""
    pieces = [bytes([byte]) for byte in range(256)]
    merges = []
    words = [list(word.encode()) for text in TEXTS[1:4] for word in text.replace(" ", "| ").split("|")] * 2
    for _ in range(24):
        pairs = Counter(pair for word in words for pair in itertools.pairwise(word))
        best = min(pairs, key=lambda pair: (-pairs[pair], pieces[pair[0]], pieces[pair[1]]))
        merges.append(best)
        pieces.append(pieces[best[0]] + pieces[best[1]])
        for word in words:
            for place in range(len(word) - 2, -1, -1):
                if tuple(word[place : place + 2]) == best:
                    word[place : place + 2] = [len(pieces) - 1]
    pieces += [b"world", b"<|user|>", b"<|end|>"]
    marks = bytearray(len(pieces))
    marks[-2], marks[-1] = Mark.MATCHED, Mark.MATCHED | Mark.HIDDEN | Mark.END
    eos, form = len(pieces) - 1, Normaliser.NFC if whole_words else Normaliser.NONE
    options = {"pre_tokenizer": cut, "normaliser": form, "whole_words": whole_words}
    return Tokenizer(3, tuple(pieces), merges=tuple(merges), eos=eos, marks=bytes(marks), **options)  # type: ignore[arg-type]


def main() -> None:
    """Write both files."""
    for name, value in (("generation", generation_vectors()), ("tokenization", tokenization_vectors())):
        (FOLDER / f"{name}.json").write_text(json.dumps(value) + "\n")


if __name__ == "__main__":
    main()

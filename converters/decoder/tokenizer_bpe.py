"""The two kinds of BPE in ``tokenizer.json``: over bytes (GPT-2, Llama 3, Qwen), and over characters (Llama 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edge_sparse.errors import ConvertError
from edge_sparse.llm.byte_level_bpe import CUTS, byte_alphabet
from edge_sparse.tokenizer import Mark, Normaliser, PreTokenizer, Tokenizer, TokenizerKind

__all__ = ["byte_level_tokenizer", "scored_tokenizer"]

_SPACE = "\u2581"
#: Highest number of a token; a larger one in a file is a mistake.
_LIMIT = 1 << 20


def byte_level_tokenizer(source: Mapping[str, Any]) -> Tokenizer:
    """Return the record of byte-level BPE, without BOS and EOS."""
    model = _plain_model(source)
    letters = {letter: byte for byte, letter in byte_alphabet().items()}
    vocabulary = {}
    added = {entry["content"] for entry in source.get("added_tokens") or []}
    for name, token in model["vocab"].items():
        known = all(letter in letters for letter in name)
        if not known and name not in added:
            raise _unsupported(f"piece {name!r}, which is not written in bytes,")
        vocabulary[name] = (bytes(letters[letter] for letter in name) if known else name.encode(), token)
    pieces, marks = _pieces(vocabulary, source)
    return Tokenizer(
        TokenizerKind.RANKED,
        pieces,
        merges=tuple((model["vocab"][left], model["vocab"][right]) for left, right in _merges(model)),
        pre_tokenizer=_pre_tokenizer(source.get("pre_tokenizer")),
        normaliser=_normaliser(source.get("normalizer")),
        whole_words=bool(model.get("ignore_merges")),
        marks=marks,
    )


def scored_tokenizer(source: Mapping[str, Any]) -> Tokenizer:
    """Return the record of BPE with byte fallback whose merges are all that its pieces allow, without BOS and EOS."""
    model = _plain_model(source)
    ranks: dict[str, float] = {}
    pairs = set()
    for rank, (left, right) in enumerate(_merges(model)):
        ranks.setdefault(left + right, -float(rank))
        pairs.add((left, right))
    names = model["vocab"]
    special = {entry["content"] for entry in source.get("added_tokens") or []}
    for name in names:
        splits = [(name[:at], name[at:]) for at in range(1, len(name))]
        if name not in special and any(a in names and b in names and (a, b) not in pairs for a, b in splits):
            raise _unsupported(f"piece {name!r}, which some merges do not make though its parts are pieces,")
    vocabulary = {name: (name.replace(_SPACE, " ").encode(), token) for name, token in names.items()}
    pieces, marks = _pieces(vocabulary, source, _SPACE)
    numbers = {token: name for name, token in names.items()}
    scores = tuple(ranks.get(numbers.get(token, ""), -float(len(ranks))) for token in range(len(pieces)))
    unknown = names.get(model.get("unk_token") or "", -1)
    prefix = _dummy_prefix(source)
    return Tokenizer(
        TokenizerKind.SCORED,
        pieces,
        scores,
        unknown=unknown,
        dummy_prefix=prefix,
        byte_fallback=True,
        marks=marks,
    )


def _plain_model(source: Mapping[str, Any]) -> Mapping[str, Any]:
    model: Mapping[str, Any] = source["model"]
    if model["type"] != "BPE":
        raise _unsupported(f"a tokenizer of type {model['type']}")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise _unsupported(f"BPE with {name}")
    return model


def _merges(model: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """Return the merges; older files write a pair as one text."""
    return [tuple(merge.split(" ", 1)) if isinstance(merge, str) else (merge[0], merge[1]) for merge in model["merges"]]


def _pieces(
    vocabulary: Mapping[str, tuple[bytes, int]], source: Mapping[str, Any], space: str = ""
) -> tuple[tuple[bytes, ...], bytes]:
    """Return pieces by number and their marks; numbers that nobody has are empty pieces."""
    added = source.get("added_tokens") or []
    count = 1 + max(*(token for _, token in vocabulary.values()), *(entry["id"] for entry in added), 0)
    if count > _LIMIT:
        raise _unsupported(f"token number {count - 1}")
    pieces, marks = [b""] * count, bytearray(count)
    for piece, token in vocabulary.values():
        pieces[token] = piece
    for entry in added:
        if any(entry.get(name) for name in ("lstrip", "rstrip", "single_word")):
            raise _unsupported(f"special piece {entry['content']!r} that takes spaces around it")
        text = entry["content"].replace(space, " ") if space else entry["content"]
        pieces[entry["id"]] = text.encode()
        marks[entry["id"]] = Mark.MATCHED | (Mark.HIDDEN if entry.get("special") else 0)
    return tuple(pieces), bytes(marks)


def _pre_tokenizer(value: Any) -> PreTokenizer:
    """Return which of the known ways of cutting this is."""
    parts = value["pretokenizers"] if value and value["type"] == "Sequence" else [value] if value else []
    if not parts or parts[-1]["type"] != "ByteLevel" or parts[-1].get("add_prefix_space"):
        raise _unsupported("a pre-tokeniser without a byte level, or that puts a space before the text,")
    cuts = [_cut(part) for part in parts[:-1]]
    if parts[-1].get("use_regex", True):
        cuts.append(CUTS[PreTokenizer.GPT2][0])
    for kind, known in CUTS.items():
        if tuple(cuts) == known:
            return kind
    raise _unsupported(f"the pre-tokeniser {cuts}")


def _cut(part: Mapping[str, Any]) -> str:
    if part["type"] == "Digits" and part.get("individual_digits"):
        return r"\p{N}"
    plain = part["type"] == "Split" and part.get("behavior") == "Isolated" and not part.get("invert")
    if not plain or "Regex" not in part["pattern"]:
        raise _unsupported(f"pre-tokeniser {part['type']}")
    return str(part["pattern"]["Regex"])


def _normaliser(value: Any) -> Normaliser:
    if value and value["type"] == "Sequence" and len(value["normalizers"]) <= 1:
        value = next(iter(value["normalizers"]), None)
    if not value:
        return Normaliser.NONE
    if value["type"] != "NFC":
        raise _unsupported(f"normaliser {value['type']}")
    return Normaliser.NFC


def _dummy_prefix(source: Mapping[str, Any]) -> bool:
    """Return whether a space is put before the text; everything else but writing spaces as U+2581 is refused."""
    value, cut = source.get("normalizer"), source.get("pre_tokenizer")
    parts = value["normalizers"] if value and value["type"] == "Sequence" else [value] if value else []
    prefix = False
    for part in parts:
        if part["type"] == "Prepend" and part["prepend"] == _SPACE:
            prefix = True
        elif part["type"] != "Replace" or part["pattern"] != {"String": " "} or part["content"] != _SPACE:
            raise _unsupported(f"normaliser {part['type']}")
    if cut:
        if cut["type"] != "Metaspace" or cut.get("split", True):
            raise _unsupported(f"pre-tokeniser {cut['type']}")
        prefix = prefix or cut.get("prepend_scheme", "always") != "never"
    return prefix


def _unsupported(what: str) -> ConvertError:
    return ConvertError(
        "TOKENIZER_UNSUPPORTED", f"{what} cannot be converted", "docs/format.md section 6 says what can"
    )

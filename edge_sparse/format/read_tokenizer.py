"""The tokenizer of a file: pieces, merges, marks, chat template and sampling defaults, checked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import FileFormatError
from edge_sparse.format.container import Container
from edge_sparse.format.spec import LIMITS, MATCHED_LIMIT, TEMPLATE_LIMIT, TOKENIZER_FLAGS, Section
from edge_sparse.tokenizer import Mark, Normaliser, PreTokenizer, Tokenizer, TokenizerKind

__all__ = ["read_tokenizer"]

_AGAIN = "convert the model again"
_BLOBS = ("lengths_blob", "bytes_blob", "scores_blob", "merges_blob", "marks_blob", "template_blob")


def read_tokenizer(container: Container) -> Tokenizer | None:
    """Return the tokenizer, or None."""
    records = container.records(Section.TOKENIZER)
    if not records.size:
        return None
    record = records[0]
    kind, count, bos, eos, unknown = (int(record[n]) for n in ("kind", "piece_count", "bos", "eos", "unknown"))
    if kind not in set(TokenizerKind):
        raise FileFormatError("TOKENIZER_KIND", f"tokenizer kind {kind} is unknown", "update edge_sparse")
    if any(not -1 <= token < max(count, 256 * (kind == TokenizerKind.BYTES)) for token in (bos, eos, unknown)):
        raise FileFormatError("TOKENIZER_TOKEN", f"special tokens {bos}, {eos}, {unknown} of {count}", _AGAIN)
    lengths, pieces, scores, merges, marks, template = (
        container.blobs.get(int(record[name]), "the tokenizer") for name in _BLOBS
    )
    ends = _piece_ends(kind, count, int(record["merge_count"]), lengths, pieces, scores, merges, marks)
    values, pairs = scores.view("<f4"), merges.view("<u4").reshape(-1, 2)
    if not np.isfinite(values).all() or (pairs >= count).any() or (marks > sum(Mark)).any():
        message = "a score is no number, a merge names no piece, or a mark has unknown bits"
        raise FileFormatError("TOKENIZER_VALUES", message, _AGAIN)
    temperature, top_k, top_p = (record[name].item() for name in ("temperature", "top_k", "top_p"))
    if not (math.isfinite(temperature) and temperature >= 0 and 0 < top_p <= 1):
        message = f"sampling with temperature {temperature} and top_p {top_p}"
        raise FileFormatError("TOKENIZER_SAMPLING", message, _AGAIN)
    data = pieces.tobytes()
    parts = tuple(data[start:end] for start, end in zip([0, *ends], ends, strict=False))
    _check_matched(parts, marks)
    return Tokenizer(
        kind,
        parts,
        tuple(values.tolist()),
        tuple((left, right) for left, right in pairs.tolist()),
        bos,
        eos,
        unknown,
        temperature,
        top_k,
        top_p,
        *_enumerations(record, kind),
        **_flags(int(record["flags"]), kind, bos),
        marks=marks.tobytes(),
        chat_template=_template(template),
    )


def _piece_ends(kind: int, count: int, merge_count: int, *blobs: npt.NDArray[np.uint8]) -> list[int]:
    """Return where every piece ends, after checking the sizes of all blobs."""
    lengths, pieces, scores, merges, marks = blobs
    fits = lengths.size == 4 * count and scores.size == 4 * count * (kind == TokenizerKind.SCORED)
    fits = fits and merges.size == 8 * merge_count and (kind == TokenizerKind.RANKED or not merge_count)
    fits = fits and (kind == TokenizerKind.BYTES or 0 < count <= LIMITS[Section.LABELS])
    fits = fits and marks.size in (0, count) and int((marks & Mark.MATCHED).sum()) <= MATCHED_LIMIT
    ends: list[int] = np.cumsum(lengths.view("<u4"), dtype=np.int64).tolist() if fits else []
    if not fits or (ends[-1] if ends else 0) != pieces.size:
        raise FileFormatError("TOKENIZER_SIZE", f"{count} pieces do not fit the tokenizer's blobs or limits", _AGAIN)
    return ends


def _check_matched(pieces: tuple[bytes, ...], marks: npt.NDArray[np.uint8]) -> None:
    """Check that no piece that is looked for in texts could cut a character in two."""
    for token in np.flatnonzero(marks & Mark.MATCHED).tolist():
        try:
            pieces[token].decode("utf-8")
        except UnicodeDecodeError:
            message = f"piece {token} is looked for in texts and is not UTF-8"
            raise FileFormatError("TOKENIZER_VALUES", message, _AGAIN) from None


def _enumerations(record: np.void, kind: int) -> tuple[PreTokenizer, Normaliser]:
    cut, form = int(record["pre_tokenizer"]), int(record["normaliser"])
    known = cut in set(PreTokenizer) and form in set(Normaliser)
    if not known or (kind != TokenizerKind.RANKED and (cut or form)):
        message = f"pre-tokeniser {cut} and normaliser {form} of a tokenizer of kind {kind}"
        raise FileFormatError("TOKENIZER_FLAGS", message, "update edge_sparse")
    return PreTokenizer(cut), Normaliser(form)


def _flags(bits: int, kind: int, bos: int) -> dict[str, Any]:
    flags = {name: bool(bits >> bit & 1) for bit, name in enumerate(TOKENIZER_FLAGS)}
    known = bits < 1 << len(TOKENIZER_FLAGS)
    if not known or any(flags[name] and wanted not in (0, kind) for name, wanted in TOKENIZER_FLAGS.items()):
        raise FileFormatError("TOKENIZER_FLAGS", f"flags {bits:#x} of a tokenizer of kind {kind}", "update edge_sparse")
    if flags["add_bos"] and bos < 0:
        raise FileFormatError("TOKENIZER_FLAGS", "texts begin with a token that the file does not name", _AGAIN)
    return flags


def _template(data: npt.NDArray[np.uint8]) -> str:
    if data.size > TEMPLATE_LIMIT:
        message = f"a chat template of {data.size} bytes, more than {TEMPLATE_LIMIT}"
        raise FileFormatError("TOKENIZER_TEMPLATE", message, _AGAIN)
    try:
        return data.tobytes().decode("utf-8")
    except UnicodeDecodeError:
        raise FileFormatError("TOKENIZER_TEMPLATE", "the chat template is not UTF-8", _AGAIN) from None

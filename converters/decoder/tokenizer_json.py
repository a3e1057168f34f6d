"""``tokenizer_from_json``: Hugging Face's ``tokenizer.json`` and the files beside it."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_sparse.converters.decoder.tokenizer_bpe import byte_level_tokenizer, scored_tokenizer

from edge_sparse.errors import ConvertError
from edge_sparse.format.spec import TEMPLATE_LIMIT
from edge_sparse.tokenizer import Mark, Tokenizer

__all__ = ["tokenizer_from_json"]


def tokenizer_from_json(path: str | os.PathLike[str]) -> Tokenizer:
    """Return the tokenizer of ``tokenizer.json``, or of a folder that holds one.

    ``tokenizer_config.json`` and ``chat_template.jinja`` beside it give BOS, EOS and the chat template,
    ``generation_config.json`` and ``config.json`` further tokens that end a text and sampling defaults.

    Raises
    ------
    ConvertError
        ``TOKENIZER_FILE``: it cannot be read; ``TOKENIZER_UNSUPPORTED``: the format does not know how it works.
    """
    path = Path(path)
    path = path / "tokenizer.json" if path.is_dir() else path
    source = _read(path)
    try:
        byte_level = not (source["model"].get("byte_fallback") or False)
        tokenizer = byte_level_tokenizer(source) if byte_level else scored_tokenizer(source)
        tokenizer = _with_specials(tokenizer, source, path.parent)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        message = f"{path} is no tokenizer.json: {type(error).__name__} {error}"
        raise ConvertError("TOKENIZER_FILE", message, "save it again with tokenizers") from error
    return tokenizer


def _with_specials(tokenizer: Tokenizer, source: Mapping[str, Any], folder: Path) -> Tokenizer:
    """Add what the files beside say: BOS, EOS, chat template, sampling."""
    names = {piece: token for token, piece in reversed(list(enumerate(tokenizer.pieces))) if piece}
    config, generation, model = (
        _read(folder / name, required=False)
        for name in ("tokenizer_config.json", "generation_config.json", "config.json")
    )
    ends = [_token(config, "eos_token", names), *_ids(generation, "eos_token_id"), *_ids(model, "eos_token_id")]
    ends = [token for token in ends if 0 <= token < len(tokenizer.pieces)]
    bos = _token(config, "bos_token", names)
    if bos < 0 and "bos_token" not in config:
        bos = next(iter(_ids(model, "bos_token_id")), -1)
    first = _first_token(source.get("post_processor"))
    if first is None:
        add_bos = bool(config.get("add_bos_token", False)) and bos >= 0
    else:
        add_bos, bos = bool(first), names.get(first.encode(), -1) if first else bos
    marks = bytearray(tokenizer.marks or bytes(len(tokenizer.pieces)))
    for token in ends:
        marks[token] |= Mark.END | Mark.HIDDEN
    if not 0 <= bos < len(tokenizer.pieces):
        bos, add_bos = -1, False
    return replace(
        tokenizer,
        bos=bos,
        eos=ends[0] if ends else -1,
        add_bos=add_bos,
        marks=bytes(marks) if any(marks) else b"",
        chat_template=_template(config, folder),
        **_sampling(generation),
    )


def _first_token(processor: Any) -> str | None:
    """Return the token that a post-processor puts before a text, "" for none, None if it does not say."""
    if not processor:
        return None
    if processor["type"] == "Sequence":
        found = [_first_token(part) for part in processor["processors"]]
        return next((first for first in found if first is not None), None)
    if processor["type"] == "ByteLevel":
        return None
    if processor["type"] != "TemplateProcessing":
        raise _unsupported(f"post-processor {processor['type']}")
    kinds = [next(iter(part)) for part in processor["single"]]
    if kinds == ["Sequence"]:
        return ""
    if kinds != ["SpecialToken", "Sequence"]:
        raise _unsupported("a post-processor that puts more than one token around a text")
    return str(processor["single"][0]["SpecialToken"]["id"])


def _token(config: Mapping[str, Any], key: str, names: Mapping[bytes, int]) -> int:
    value = config.get(key)
    text = value.get("content") if isinstance(value, dict) else value
    return names.get(text.encode(), -1) if isinstance(text, str) else -1


def _ids(config: Mapping[str, Any], key: str) -> Iterable[int]:
    value = config.get(key)
    return [value] if isinstance(value, int) else [item for item in value or [] if isinstance(item, int)]


def _template(config: Mapping[str, Any], folder: Path) -> str:
    value = config.get("chat_template") or ""
    if isinstance(value, list):
        by_name = {entry["name"]: entry["template"] for entry in value}
        value = by_name.get("default", "")
    if not value and (folder / "chat_template.jinja").is_file():
        value = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    if len(value.encode()) > TEMPLATE_LIMIT:
        raise _unsupported(f"a chat template of {len(value.encode())} bytes, more than {TEMPLATE_LIMIT},")
    return str(value)


def _sampling(generation: Mapping[str, Any]) -> dict[str, Any]:
    """Return sampling defaults, as the file can hold them."""
    if generation.get("do_sample") is False:
        return {"temperature": 0.0}
    if not generation.get("do_sample"):
        return {}
    temperature, top_p = float(generation.get("temperature") or 1.0), float(generation.get("top_p") or 1.0)
    top_k = int(generation.get("top_k") or 0)
    narrow = struct.unpack("<2f", struct.pack("<2f", max(temperature, 0.0), min(max(top_p, 1e-6), 1.0)))
    return {"temperature": narrow[0], "top_k": max(top_k, 0), "top_p": narrow[1]}


def _read(path: Path, *, required: bool = True) -> dict[str, Any]:
    if not required and not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConvertError("TOKENIZER_FILE", f"{path} cannot be read: {error}", "check the file") from error
    if not isinstance(value, dict):
        raise ConvertError("TOKENIZER_FILE", f"{path} holds no JSON object", "check the file")
    return value


def _unsupported(what: str) -> ConvertError:
    return ConvertError(
        "TOKENIZER_UNSUPPORTED", f"{what} cannot be converted", "docs/format.md section 6 says what can"
    )

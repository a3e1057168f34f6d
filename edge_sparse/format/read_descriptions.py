"""What a file says about its model's meaning: labels, image preprocessing, tokenizer, metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import numpy as np

from edge_sparse.errors import FileFormatError
from edge_sparse.format.container import Container
from edge_sparse.format.spec import LIMITS, Section
from edge_sparse.plan import ImagePreprocessing, Plan, Tokenizer

__all__ = ["read_image", "read_labels", "read_metadata", "read_tokenizer"]

_AGAIN = "convert the model again"
_SIDE_LIMIT = 1 << 16
_BYTES, _SCORED, _RANKED = 1, 2, 3


def read_labels(container: Container) -> tuple[str, ...]:
    """Return the names of the classes."""
    return tuple(container.strings.get(place) for place in container.records(Section.LABELS).tolist())


def read_image(container: Container, plans: Sequence[Plan]) -> ImagePreprocessing | None:
    """Return how an image becomes the first plan's first input, or None."""
    records = container.records(Section.IMAGE)
    if not records.size:
        return None
    row = records[0]
    height, width, channels, resize, bgr = (int(row[name]) for name in ("height", "width", "channels", "resize", "bgr"))
    mean, std = row["mean"].tolist(), row["std"].tolist()
    fits = channels in (1, 3) and 0 < height <= _SIDE_LIMIT and 0 < width <= _SIDE_LIMIT
    fits = fits and (resize == 0 or max(height, width) <= resize <= _SIDE_LIMIT) and bgr <= (channels == 3)
    fits = fits and all(math.isfinite(number) for number in (*mean, *std)) and min(std[:channels]) > 0
    if not fits or any(mean[channels:]) or any(std[channels:]):
        raise FileFormatError("IMAGE_VALUES", f"image preprocessing {row.tolist()[:5]} is out of range", _AGAIN)
    shape = plans[0].tensors[plans[0].inputs[0]].shape if plans[0].inputs else ()
    if shape[1:] != (channels, height, width):
        message = f"images of {channels} x {height} x {width} do not fit an input of shape {shape}"
        raise FileFormatError("IMAGE_SHAPE", message, _AGAIN)
    return ImagePreprocessing(height, width, channels, resize, tuple(mean[:channels]), tuple(std[:channels]), bool(bgr))


def read_tokenizer(container: Container) -> Tokenizer | None:
    """Return the tokenizer, or None."""
    records = container.records(Section.TOKENIZER)
    if not records.size:
        return None
    kind, count, merge_count, bos, eos, unknown, *blob_numbers, temperature, top_k, top_p, _ = records[0].tolist()
    lengths, pieces, scores, merges = (container.blobs.get(number, "the tokenizer") for number in blob_numbers)
    if kind not in (_BYTES, _SCORED, _RANKED):
        raise FileFormatError("TOKENIZER_KIND", f"tokenizer kind {kind} is unknown", "update edge_sparse")
    if any(not -1 <= token < max(count, 256 * (kind == _BYTES)) for token in (bos, eos, unknown)):
        raise FileFormatError("TOKENIZER_TOKEN", f"special tokens {bos}, {eos}, {unknown} of {count}", _AGAIN)
    fits = lengths.size == 4 * count and scores.size == 4 * count * (kind == _SCORED)
    fits = fits and merges.size == 8 * merge_count and (kind == _RANKED or not merge_count)
    fits = fits and (kind == _BYTES or 0 < count <= LIMITS[Section.LABELS])
    numbers = lengths.view("<u4").tolist() if fits else []
    if not fits or sum(numbers) != pieces.size:
        raise FileFormatError("TOKENIZER_SIZE", f"{count} pieces do not fit the tokenizer's blobs", _AGAIN)
    values, pairs = scores.view("<f4"), merges.view("<u4").reshape(-1, 2)
    if not np.isfinite(values).all() or (pairs >= count).any():
        raise FileFormatError("TOKENIZER_VALUES", "a score is no number or a merge names no piece", _AGAIN)
    if not (math.isfinite(temperature) and temperature >= 0 and 0 < top_p <= 1):
        message = f"sampling with temperature {temperature} and top_p {top_p}"
        raise FileFormatError("TOKENIZER_SAMPLING", message, _AGAIN)
    data, ends = pieces.tobytes(), np.cumsum(numbers, dtype=np.int64).tolist()
    return Tokenizer(
        kind,
        tuple(data[end - length : end] for length, end in zip(numbers, ends, strict=True)),
        tuple(values.tolist()),
        tuple((left, right) for left, right in pairs.tolist()),
        bos,
        eos,
        unknown,
        temperature,
        top_k,
        top_p,
    )


def read_metadata(container: Container) -> Mapping[str, object]:
    """Return the metadata, an object in JSON that no runtime depends on."""
    text = container.bytes_of.get(Section.METADATA, b"")
    if not text:
        return {}
    try:
        result = json.loads(text.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise FileFormatError("METADATA_JSON", "the metadata is not JSON in UTF-8", _AGAIN) from None
    if not isinstance(result, dict):
        raise FileFormatError("METADATA_JSON", "the metadata is not a JSON object", _AGAIN)
    return result


def _no_constant(name: str) -> object:
    raise ValueError(name)

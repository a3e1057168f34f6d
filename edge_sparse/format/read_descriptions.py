"""What a file says about its model's meaning: labels, image preprocessing, metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from edge_sparse.errors import FileFormatError
from edge_sparse.format.container import Container
from edge_sparse.format.spec import Section
from edge_sparse.plan import ImagePreprocessing, Plan

__all__ = ["read_image", "read_labels", "read_metadata"]

_AGAIN = "convert the model again"
_SIDE_LIMIT = 1 << 16


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

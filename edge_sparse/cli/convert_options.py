"""Values of ``edge-sparse convert``'s options from their text."""

from __future__ import annotations

from collections.abc import Sequence

from edge_sparse.errors import InputError
from edge_sparse.plan import ImagePreprocessing

__all__ = ["IMAGENET", "parse_image", "parse_overrides"]

#: Preprocessing that torchvision's classifiers were trained with.
IMAGENET = ImagePreprocessing(224, 224, 3, 256, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def parse_overrides(texts: Sequence[str]) -> dict[str, object]:
    """Return settings by layer name pattern from ``'name*=sparsity:0.5,group:gs8x1'`` and ``'name*=dense'``."""
    overrides: dict[str, object] = {}
    for text in texts:
        pattern, equals, wish = text.rpartition("=")
        if not equals or not pattern or pattern in overrides:
            raise _wrong("--override", text, "write 'features.3*=sparsity:0.5,group:gs8x1' or 'classifier=dense', once")
        overrides[pattern] = "dense" if wish == "dense" else _settings(text, wish)
    return overrides


def _settings(text: str, wish: str) -> dict[str, object]:
    settings: dict[str, object] = {}
    for part in wish.split(","):
        key, _, value = part.partition(":")
        if key not in ("sparsity", "group") or not value or key in settings:
            raise _wrong("--override", text, "settings are sparsity:NUMBER and group:gsGx1, or the word dense")
        settings[key] = _number("--override", text, value) if key == "sparsity" else value
    return settings


def parse_image(text: str) -> ImagePreprocessing:
    """Return the image record of ``imagenet`` or ``HEIGHTxWIDTH[,resize=N][,mean=A/B/C][,std=A/B/C][,grey|bgr]``."""
    if text == "imagenet":
        return IMAGENET
    size, *settings = text.split(",")
    height, _, width = size.partition("x")
    channels, resize, bgr = 3, 0, False
    numbers: dict[str, tuple[float, ...]] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if setting in ("grey", "bgr"):
            channels, bgr = (1, bgr) if setting == "grey" else (channels, True)
        elif key == "resize":
            resize = _count(text, value)
        elif key in ("mean", "std") and equals:
            numbers[key] = tuple(_number("--image", text, part) for part in value.split("/"))
        else:
            raise _wrong("--image", text, f"{setting!r} is none of resize=, mean=, std=, grey, bgr")
    for key, default in (("mean", 0.0), ("std", 1.0)):
        given = numbers.get(key, (default,))
        if len(given) not in (1, channels):
            raise _wrong("--image", text, f"{key} has {len(given)} numbers for {channels} channel(s)")
        numbers[key] = given if len(given) == channels else given * channels
    if 0.0 in numbers["std"]:
        raise _wrong("--image", text, "std must not be zero")
    return ImagePreprocessing(
        _count(text, height), _count(text, width), channels, resize, numbers["mean"], numbers["std"], bgr
    )


def _count(text: str, value: str) -> int:
    if not value.isdecimal() or not 0 < int(value) <= 65535:
        raise _wrong("--image", text, "begin with HEIGHTxWIDTH in pixels, for example 224x224,resize=256")
    return int(value)


def _number(option: str, text: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise _wrong(option, text, f"{value!r} is no number") from None


def _wrong(option: str, text: str, hint: str) -> InputError:
    return InputError("USAGE", f"{option} {text!r} cannot be understood", hint)

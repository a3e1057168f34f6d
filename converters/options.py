"""What a user can ask of ``convert``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edge_sparse.converters.pruning.options import LayerOverride, PruneOptions, Scope, parse_group

from edge_sparse.errors import ConvertError, PruningError
from edge_sparse.plan import DType, ImagePreprocessing

__all__ = ["ConvertOptions", "read_group", "read_image", "read_labels", "read_overrides"]

_DTYPES = {"f32": DType.F32, "f16": DType.F16, "s8": DType.S8, "s4": DType.S4}


@dataclass(frozen=True)
class ConvertOptions:
    """The options that decide what a file holds; ``convert`` explains each of them."""

    sparsity: float | None = None
    group: int | None = None
    scope: Scope = "layer"
    pattern: Literal["tap", "kernel"] = "tap"
    rearrange: bool = False
    include_depthwise: bool = False
    include_stem: bool = False
    include_linear: bool = True
    overrides: Mapping[str, LayerOverride] = field(default_factory=dict)
    layout: Literal["auto", "chw", "nhwc"] = "auto"
    dtype: str = "f32"

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise ConvertError("OPTION_UNKNOWN", f"dtype {self.dtype!r} is not one of {', '.join(_DTYPES)}", "use f32")
        if self.layout not in ("auto", "chw", "nhwc"):
            raise ConvertError(
                "OPTION_UNKNOWN", f"layout {self.layout!r} is not one of auto, chw, nhwc", "leave it out for auto"
            )
        if self.sparsity is None:
            self._refuse_pruning_options()
        else:
            self.pruning()

    def _refuse_pruning_options(self) -> None:
        """Options that only a sparsity gives a meaning would be ignored silently otherwise."""
        defaults = ConvertOptions.__dataclass_fields__
        names = ("group", "scope", "pattern", "rearrange", "include_depthwise", "include_stem")
        given = [name for name in names if getattr(self, name) != defaults[name].default]
        given += ["overrides"] if self.overrides else []
        if given:
            raise PruningError(
                "SPARSITY_MISSING",
                f"{', '.join(given)} given without a sparsity",
                "add sparsity=0.8; without one, the zeros that the model already has are kept",
            )

    @property
    def value_dtype(self) -> DType:
        """Element type of the stored weights."""
        return _DTYPES[self.dtype]

    def pruning(self) -> PruneOptions:
        """Return the options of the pruner; a sparsity must be set."""
        assert self.sparsity is not None
        return PruneOptions(
            self.sparsity,
            self.group,
            self.scope,
            self.pattern,
            self.include_depthwise,
            self.include_stem,
            self.include_linear,
            self.overrides,
        )

    def record(self) -> dict[str, object]:
        """Return the options that differ from the defaults, as plain values for the file's metadata."""
        values: dict[str, object] = {}
        for spec in dataclasses.fields(self):
            value = getattr(self, spec.name)
            if spec.name == "overrides":
                value = {name: dataclasses.asdict(override) for name, override in self.overrides.items()}
                if value:
                    values["overrides"] = value
            elif value != spec.default:
                values[spec.name] = f"gs{value}x1" if spec.name == "group" else value
        return values


def read_group(group: str | int | None) -> int | None:
    """Return rows per group from ``gs4x1``, 4 or None; ``PruneOptions`` checks the number."""
    return parse_group(group) if isinstance(group, str) else group


def read_overrides(overrides: Mapping[str, Any] | None) -> dict[str, LayerOverride]:
    """Return overrides from ``LayerOverride``, ``"dense"`` or dicts with ``sparsity`` and ``group``."""
    result = {}
    for pattern, wish in (overrides or {}).items():
        if wish == "dense":
            wish = LayerOverride(sparsity=0.0)
        elif isinstance(wish, Mapping) and set(wish) <= {"sparsity", "group"}:
            wish = LayerOverride(wish.get("sparsity"), read_group(wish.get("group")))
        if not isinstance(wish, LayerOverride):
            raise PruningError(
                "OVERRIDE_INVALID",
                f"override {pattern!r} is {wish!r}",
                "give 'dense' or a dict such as {'sparsity': 0.5, 'group': 'gs8x1'}",
            )
        result[pattern] = wish
    return result


def read_labels(labels: Sequence[str] | str | Path | None) -> tuple[str, ...]:
    """Return class names from a sequence, or from a UTF-8 text file with one name per line."""
    if labels is None:
        return ()
    if isinstance(labels, (str, Path)):
        try:
            return tuple(Path(labels).read_text("utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise ConvertError(
                "LABELS_UNREADABLE", f"labels {labels}: {error}", "give a UTF-8 text file with one name per line"
            ) from error
    names = tuple(labels)
    if not all(isinstance(name, str) for name in names):
        raise ConvertError("LABELS_INVALID", "labels are not all text", "pass a list of str")
    return names


def read_image(image: ImagePreprocessing | Mapping[str, Any] | None) -> ImagePreprocessing | None:
    """Return the preprocessing record from itself or from a dict of its fields."""
    if image is None or isinstance(image, ImagePreprocessing):
        return image
    known = {spec.name for spec in dataclasses.fields(ImagePreprocessing)}
    try:
        fields: dict[str, Any] = {
            key: tuple(value) if key in ("mean", "std") else value for key, value in image.items()
        }
        return ImagePreprocessing(**fields)
    except (TypeError, AttributeError) as error:
        raise ConvertError(
            "IMAGE_INVALID", f"image preprocessing {image!r}: {error}", f"fields: {', '.join(sorted(known))}"
        ) from error

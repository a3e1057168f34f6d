"""Labels, image preprocessing and metadata of a converted model."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import sys

from edge_sparse.converters.options import ConvertOptions

from edge_sparse import __version__
from edge_sparse.errors import ConvertError
from edge_sparse.plan import ImagePreprocessing, Model

__all__ = ["with_records"]


def with_records(
    model: Model, options: ConvertOptions, labels: tuple[str, ...], image: ImagePreprocessing | None
) -> tuple[Model, list[str]]:
    """Return the model with its records, and warnings about those that look wrong.

    The metadata says which options and versions made the file. It holds no date and no path, so that the same input
    gives the same bytes.
    """
    warnings = []
    if image is not None:
        image = _with_own_defaults(image)
        _check_image(model, image)
    if labels and not _fits_outputs(model, len(labels)):
        warnings.append(f"{len(labels)} labels, but no output has that many classes")
    metadata = {
        **model.metadata,
        "producer": f"edge_sparse {__version__}",
        "options": options.record(),
        "versions": _versions(),
    }
    return dataclasses.replace(model, labels=labels, image=image, metadata=metadata), warnings


def _versions() -> dict[str, str]:
    """Versions of the packages that can change the numbers in the file, if they took part."""
    return {name: importlib.metadata.version(name) for name in ("numpy", "torch") if name in sys.modules}


def _fits_outputs(model: Model, classes: int) -> bool:
    plan = model.plan()
    shapes = [plan.tensors[number].shape for number in plan.outputs]
    return any(len(shape) >= 2 and classes in (shape[1], shape[-1]) for shape in shapes)


def _with_own_defaults(image: ImagePreprocessing) -> ImagePreprocessing:
    """Give defaults, which are those of three channels, as many numbers as there are channels."""
    defaults = {spec.name: spec.default for spec in dataclasses.fields(ImagePreprocessing)}
    untouched = [name for name in ("mean", "std") if getattr(image, name) == defaults[name]]
    return dataclasses.replace(image, **{name: getattr(image, name)[: image.channels] for name in untouched})


def _check_image(model: Model, image: ImagePreprocessing) -> None:
    plan = model.plan()
    shape = plan.tensors[plan.inputs[0]].shape
    wanted = (image.channels, image.height, image.width)
    if len(shape) != 4 or shape[1:] != wanted:
        raise ConvertError(
            "IMAGE_INVALID",
            f"image preprocessing makes (channels, height, width) {wanted}, the input has shape {shape}",
            "give the size that the model was exported with",
        )
    if len(image.mean) != image.channels or len(image.std) != image.channels or not all(image.std):
        raise ConvertError(
            "IMAGE_INVALID", f"mean {image.mean} and std {image.std} for {image.channels} channels", "give one of each"
        )

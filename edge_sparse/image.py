"""From a picture to the first input of a model, as the file's image record says.

Needs Pillow (``pip install 'edge_sparse[image]'``), which is imported on the first use.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edge_sparse.errors import InputError, MissingExtraError
from edge_sparse.plan import ImagePreprocessing

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_PIXELS", "preprocess"]

#: Larger pictures are refused, before and after resizing, so that a small file cannot fill the memory.
MAX_PIXELS = 100_000_000


def preprocess(image: object, record: ImagePreprocessing) -> npt.NDArray[np.float32]:
    """Return the input array of one picture.

    The picture is turned as its EXIF orientation says and converted to 8-bit grey or RGB (transparency is dropped).
    It is resized with Pillow's ``BILINEAR`` filter (a triangle over all source pixels that a target pixel covers, so
    without aliasing): with ``record.resize`` the shorter side gets that length and the longer one
    ``floor(resize * long / short)``, then ``height`` x ``width`` pixels are cut out around the centre (first row
    ``round((H - height) / 2)``, halves to even); with ``resize`` 0 it is stretched to ``height`` x ``width``.
    Then ``(pixel / 255 - mean) / std`` per channel, computed in float32.

    Parameters
    ----------
    image : str, path, PIL.Image.Image or ndarray of uint8
        Arrays are (H, W), (H, W, 1) or (H, W, 3), RGB.
    record : ImagePreprocessing
        Also says whether channels are stored as BGR.

    Returns
    -------
    ndarray of float32, shape (1, channels, height, width)

    Raises
    ------
    InputError
        ``IMAGE_NOT_FOUND``, ``IMAGE_UNREADABLE``, ``IMAGE_TOO_LARGE``, ``IMAGE_TYPE`` or ``IMAGE_RECORD``.
    MissingExtraError
        Pillow is not installed.
    """
    if record.channels not in (1, 3) or min(record.height, record.width) < 1 or record.resize < 0:
        raise InputError("IMAGE_RECORD", f"the image record makes no sense: {record}", "convert the model again")
    pixels = np.asarray(_sized(_opened(image, record.channels), record), np.uint8)
    planes = pixels.reshape(record.height, record.width, record.channels)
    if record.bgr and record.channels == 3:
        planes = planes[..., ::-1]
    mean, std = (np.array(values[: record.channels], np.float32) for values in (record.mean, record.std))
    values = (planes.astype(np.float32) / np.float32(255) - mean) / std
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def _opened(image: object, channels: int) -> Image:
    """Return the picture upright, loaded, 8 bits per channel, grey or RGB."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingExtraError(
            "EXTRA_MISSING", "reading images needs Pillow", "pip install 'edge_sparse[image]'"
        ) from error
    mode = "L" if channels == 1 else "RGB"
    if isinstance(image, np.ndarray):
        return Image.fromarray(_picture(image)).convert(mode)
    name = os.fspath(image) if isinstance(image, (str, os.PathLike)) else "the image"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture: Any = Image.open(name) if isinstance(image, (str, os.PathLike)) else image
            if not isinstance(picture, Image.Image):
                found = type(image).__name__
                raise InputError("IMAGE_TYPE", f"{found} is no picture", "pass a path, a PIL image or a uint8 array")
            _limit(name, *picture.size)
            if picture.mode.startswith("I;16"):
                picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            return ImageOps.exif_transpose(picture).convert(mode)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError("IMAGE_NOT_FOUND", f"there is no image {name}", "check the path") from error
    except Image.DecompressionBombError as error:
        raise _too_large(f"{name}: {error}") from error
    except Exception as error:
        # Decoders of broken files raise OSError, SyntaxError, ValueError, struct.error and more; all mean the same.
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            "IMAGE_UNREADABLE", f"{name} cannot be read as an image ({reason})", "pass a readable PNG or JPEG file"
        ) from error


def _picture(array: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)) or not array.size:
        raise InputError(
            "IMAGE_TYPE",
            f"an image array is uint8 of shape (H, W) or (H, W, 3), not {array.dtype} {array.shape}",
            "pass pixels from 0 to 255; arrays that are preprocessed already go to session(x)",
        )
    _limit("the image", array.shape[1], array.shape[0])
    return np.ascontiguousarray(array)


def _sized(picture: Image, record: ImagePreprocessing) -> Image:
    from PIL.Image import Resampling

    wanted = (record.width, record.height)
    if not record.resize:
        return picture.resize(wanted, Resampling.BILINEAR)
    width, height = picture.size
    short = min(width, height)
    width, height = record.resize * width // short, record.resize * height // short
    _limit("the image, resized,", width, height)
    left, top = round((width - record.width) / 2), round((height - record.height) / 2)
    if min(left, top) < 0:
        raise InputError(
            "IMAGE_RECORD",
            f"the model cuts {record.width} x {record.height} pixels from images resized to {width} x {height}",
            "convert with an image record whose resize is at least the crop",
        )
    resized = picture.resize((width, height), Resampling.BILINEAR)
    return resized.crop((left, top, left + record.width, top + record.height))


def _limit(name: str, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(f"{name} has {width} x {height} pixels, more than {MAX_PIXELS}")


def _too_large(message: str) -> InputError:
    return InputError("IMAGE_TOO_LARGE", message, "scale the picture down first")

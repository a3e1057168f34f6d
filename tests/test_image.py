"""Preprocessing equals a slow twin written from the definition, and bad pictures give one typed error each."""

import io
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from edge_sparse.errors import InputError, MissingExtraError
from edge_sparse.image import MAX_PIXELS, preprocess
from edge_sparse.plan import ImagePreprocessing

Image = pytest.importorskip("PIL.Image", reason="needs Pillow: edge_sparse[image]")
RANDOM = np.random.default_rng(0)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def triangle(length, target):
    """Weights (target, length) of a triangle filter that is widened to cover all source pixels when shrinking."""
    scale = length / target
    support = max(1.0, scale)
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(length)[None] + 0.5 - centres[:, None]) / support
    weights = np.maximum(0, 1 - distance)
    return weights / weights.sum(1, keepdims=True)


def twin(pixels, record):
    """Resize in float64 without intermediate rounding, cut out the centre, normalise."""
    pixels = pixels.astype(float)
    height, width = pixels.shape[:2]
    target = (record.height, record.width)
    if record.resize:
        short = min(height, width)
        target = (record.resize * height // short, record.resize * width // short)
    pixels = np.einsum("yh,hwc->ywc", triangle(height, target[0]), pixels)
    pixels = np.einsum("xw,ywc->yxc", triangle(width, target[1]), pixels)
    if record.resize:
        top, left = (round((target[axis] - (record.height, record.width)[axis]) / 2) for axis in (0, 1))
        pixels = pixels[top : top + record.height, left : left + record.width]
    if record.bgr:
        pixels = pixels[..., ::-1]
    channels = record.channels
    return ((pixels / 255 - record.mean[:channels]) / record.std[:channels]).transpose(2, 0, 1)[None]


RECORDS = [
    ImagePreprocessing(24, 24, 3, 28, **IMAGENET),
    ImagePreprocessing(17, 31, 3, 33),
    ImagePreprocessing(20, 12, 3, 0, **IMAGENET),
    ImagePreprocessing(64, 96, 3, 0),
    ImagePreprocessing(24, 24, 3, 24, bgr=True, **IMAGENET),
]


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("shape", [(40, 57), (90, 33), (24, 24)])
def test_preprocessing_equals_its_definition(record, shape):
    pixels = RANDOM.integers(0, 256, (*shape, 3), np.uint8)
    result = preprocess(pixels, record)
    assert result.dtype == np.float32
    assert result.shape == (1, 3, record.height, record.width)
    assert result.flags.c_contiguous
    # Pillow rounds to 8 bits after each of the two directions: one and a half grey levels at most.
    np.testing.assert_allclose(result, twin(pixels, record), atol=1.5 / 255 / min(record.std))


DATA = os.environ.get("EDGE_SPARSE_DATA", "")


@pytest.mark.skipif(not DATA, reason="needs real photos: set EDGE_SPARSE_DATA")
@pytest.mark.parametrize("name", ["parrot.jpg", "grace_hopper.bmp"])
def test_photos_equal_the_definition(name):
    path = Path(DATA) / "vision" / "images" / name
    record = ImagePreprocessing(224, 224, 3, 256, **IMAGENET)
    pixels = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_allclose(preprocess(path, record), twin(pixels, record), atol=1.5 / 255 / min(record.std))


def test_grey_pictures():
    record = ImagePreprocessing(8, 8, 1, 0, (0.5,), (0.25,))
    pixels = RANDOM.integers(0, 256, (8, 8), np.uint8)
    expected = ((pixels / 255 - 0.5) / 0.25)[None, None]
    for image in (pixels, pixels[..., None], Image.fromarray(pixels)):
        np.testing.assert_allclose(preprocess(image, record), expected, atol=1e-5)
    colour = preprocess(np.repeat(pixels[..., None], 3, 2), record)
    np.testing.assert_allclose(colour, expected, atol=1.01 / 255 / 0.25)


def test_files_arrays_and_pictures_agree(tmp_path):
    record = ImagePreprocessing(12, 12, 3, 14, **IMAGENET)
    pixels = RANDOM.integers(0, 256, (20, 30, 3), np.uint8)
    expected = preprocess(pixels, record)
    picture = Image.fromarray(pixels)
    for name in ("x.png", "x.bmp"):
        picture.save(tmp_path / name)
        np.testing.assert_array_equal(preprocess(tmp_path / name, record), expected)
        np.testing.assert_array_equal(preprocess(str(tmp_path / name), record), expected)
    np.testing.assert_array_equal(preprocess(picture, record), expected)
    transparent = picture.copy()
    transparent.putalpha(7)
    np.testing.assert_array_equal(preprocess(transparent, record), expected)


def test_exif_orientation_is_honoured(tmp_path):
    record = ImagePreprocessing(6, 4, 3, 0)
    pixels = RANDOM.integers(0, 256, (4, 6, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    expected = np.rot90(pixels, -1).transpose(2, 0, 1)[None] / np.float32(255)
    np.testing.assert_allclose(preprocess(tmp_path / "x.png", record), expected, atol=1e-6)


def test_sixteen_bits_keep_their_high_byte(tmp_path):
    values = RANDOM.integers(0, 65536, (5, 5), np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    result = preprocess(tmp_path / "x.png", ImagePreprocessing(5, 5, 1))
    np.testing.assert_allclose(result[0, 0] * 255, values >> 8, atol=1e-3)


def code_of(image, record=RECORDS[0]):
    with pytest.raises(InputError) as error:
        preprocess(image, record)
    assert error.value.hint
    return error.value.code


def bomb(width, height):
    """Return a PNG that promises more pixels than it holds."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def test_bad_files(tmp_path):
    assert code_of(tmp_path / "missing.png") == "IMAGE_NOT_FOUND"
    assert code_of(tmp_path) == "IMAGE_UNREADABLE"
    file = tmp_path / "x.png"
    for content in (b"", b"no picture", bomb(50, 50)):
        file.write_bytes(content)
        assert code_of(file) == "IMAGE_UNREADABLE"
    picture = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (40, 40, 3), np.uint8)).save(picture, "JPEG")
    for length in range(2, len(picture.getvalue()) - 2, 97):
        file.write_bytes(picture.getvalue()[:length])
        assert code_of(file) == "IMAGE_UNREADABLE"


@pytest.mark.parametrize("size", [(MAX_PIXELS // 1000 + 1, 1000), (60_000, 60_000)])
def test_decompression_bombs_are_refused_before_they_unfold(tmp_path, size):
    (tmp_path / "x.png").write_bytes(bomb(*size))
    assert code_of(tmp_path / "x.png") == "IMAGE_TOO_LARGE"


def test_a_thin_picture_does_not_blow_up():
    assert code_of(np.zeros((1, 100_000, 3), np.uint8), ImagePreprocessing(224, 224, 3, 256)) == "IMAGE_TOO_LARGE"


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        [[1, 2]],
        None,
    ],
)
def test_what_is_no_picture(image):
    assert code_of(image) == "IMAGE_TYPE"


def test_records_that_make_no_sense():
    pixels = np.zeros((9, 9, 3), np.uint8)
    for record in (
        ImagePreprocessing(24, 24, 3, 20),
        ImagePreprocessing(24, 24, 2),
        ImagePreprocessing(0, 24),
        ImagePreprocessing(4, 4, 3, -1),
    ):
        assert code_of(pixels, record) == "IMAGE_RECORD"


def test_without_pillow_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match="EXTRA_MISSING") as error:
        preprocess(np.zeros((4, 4, 3), np.uint8), RECORDS[0])
    assert "edge_sparse[image]" in error.value.hint

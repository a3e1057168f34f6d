"""Images of the C core: the arrays that Pillow and NumPy give."""

import random
from dataclasses import replace

import numpy as np
import pytest
from image_plan import ImagePlan

from edge_sparse.backends.native.program import NativeProgram
from edge_sparse.errors import BackendError, EdgeSparseError
from edge_sparse.image import preprocess
from edge_sparse.plan import ImagePreprocessing, Layout, Op, Storage, row_major_strides

Image = pytest.importorskip("PIL.Image", reason="needs Pillow: edge_sparse[image]")
if int(Image.__version__.split(".")[0]) < 13:
    pytest.skip("Pillow before 13 rounds tall pictures in another order", allow_module_level=True)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def program(record, layout=Layout.CHW):
    """Return a model whose first input is what a record makes."""
    from text_api import native_preprocess

    plan, shape = ImagePlan(layout), (1, record.channels, record.height, record.width)
    x = plan.image(shape, guards=False)
    y = plan.image(shape, guards=False)
    _, channels, height, width = shape
    plane = height * width
    dense = (channels * plane, 1, channels * width, channels) if layout is Layout.NHWC else row_major_strides(shape)
    for number, storage in ((x, Storage.INPUT), (y, Storage.OUTPUT)):
        place = {"offset": 0, "strides": dense, "extent": (0, 4 * channels * plane)}
        plan.tensors[number] = replace(plan.tensors[number], name=storage.name.lower(), storage=storage, **place)
    plan.bytes[Storage.ARENA] = 0
    plan.step(Op.ACTIVATION, [x], y, activation=1, clamp_low=0.0, clamp_high=0.0)
    model = replace(plan.model(), image=record)
    try:
        made = NativeProgram(model, model.plans[0])
    except BackendError as error:
        pytest.skip(error.args[0])
    return lambda pixels: native_preprocess(made, pixels)


def picture(seed, height, width, channels):
    """Return random pixels: noise, or a gradient with a few hard edges."""
    chance = np.random.default_rng(seed)
    shape = (height, width, channels) if channels > 1 else (height, width)
    if seed % 2:
        return chance.integers(0, 256, shape, np.uint8)
    pixels = np.indices((height, width)).sum(0) * 3 % 256
    pixels[:: max(2, height // 3)] = 255
    return np.broadcast_to(pixels[..., None] if channels > 1 else pixels, shape).astype(np.uint8)


def pillow(pixels, record):
    mode = {2: "L", 3: {3: "RGB", 4: "RGBA"}.get(pixels.shape[-1])}[pixels.ndim]
    return preprocess(Image.fromarray(pixels, mode) if mode == "RGBA" else Image.fromarray(pixels), record)[0]


RECORDS = (
    ImagePreprocessing(24, 32, **IMAGENET),
    ImagePreprocessing(24, 24, resize=30, **IMAGENET),
    ImagePreprocessing(17, 23, resize=23, bgr=True, mean=(0.5, 0.25, 0.125), std=(0.1, 1.5, 3.0)),
    ImagePreprocessing(20, 20, 1, mean=(0.3, 0, 0), std=(0.7, 0, 0)),
    ImagePreprocessing(19, 20, 1, resize=41, mean=(0.3, 0, 0), std=(0.7, 0, 0)),
)


@pytest.mark.parametrize("record", RECORDS)
def test_pictures_of_many_sizes_equal_pillow(record):
    record = replace(record, mean=record.mean if record.channels == 3 else (record.mean[0],))
    record = replace(record, std=record.std if record.channels == 3 else (record.std[0],))
    native, chance = program(record), random.Random(4)
    sizes = [(1, 1), (1, 7), (9, 1), (record.height, record.width), (240, 320), (500, 31), (31, 500), (3, 2)]
    sizes += [(chance.randrange(1, 120), chance.randrange(1, 120)) for _ in range(60)]
    for seed, (height, width) in enumerate(sizes):
        for channels in (1, 3, 4):
            pixels = picture(seed, height, width, channels)
            assert np.array_equal(native(pixels), pillow(pixels, record)), (height, width, channels)


def test_large_pictures_equal_pillow():
    record = ImagePreprocessing(224, 224, resize=256, **IMAGENET)
    native = program(record)
    for height, width in ((3000, 2000), (200, 300), (257, 256)):
        pixels = picture(height + 1, height, width, 3)
        assert np.array_equal(native(pixels), pillow(pixels, record))


def test_inputs_with_channels_side_by_side_and_rows_apart():
    record = ImagePreprocessing(12, 15, resize=16, bgr=True, **IMAGENET)
    pixels = picture(1, 40, 60, 3)[3:30, 5:50]
    expected = pillow(np.ascontiguousarray(pixels), record)
    assert np.array_equal(program(record)(pixels), expected)
    found = program(record, Layout.NHWC)(pixels)
    assert np.array_equal(found.reshape(12, 15, 3), expected.transpose(1, 2, 0))


def refused(native, pixels):
    with pytest.raises(EdgeSparseError) as error:
        native(pixels)
    return error.value.code


def test_what_is_no_picture_is_refused():
    native = program(ImagePreprocessing(8, 8, resize=8))
    assert refused(native, np.zeros((4, 4, 2), np.uint8)) == "IMAGE_TYPE"
    assert refused(native, np.zeros((0, 4, 3), np.uint8)) == "IMAGE_TYPE"
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (100_001, 1000), (1000, 1))
    assert refused(native, huge) == "IMAGE_TOO_LARGE"
    # Resized to 8 rows, it would be 800 million pixels.
    assert refused(native, np.zeros((1, 100_000_000), np.uint8)) == "IMAGE_TOO_LARGE"
    with pytest.raises(EdgeSparseError) as error:
        program(replace(RECORDS[0], channels=3))(np.zeros((4, 4), np.uint8)[:0])
    assert error.value.code == "IMAGE_TYPE"

"""The text of options becomes what the converter takes, or one typed error."""

import pytest

from edge_sparse.cli.convert_options import IMAGENET, parse_image, parse_overrides
from edge_sparse.errors import InputError
from edge_sparse.plan import ImagePreprocessing


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("imagenet", IMAGENET),
        ("224x192", ImagePreprocessing(224, 192)),
        (
            "32x32,resize=40,mean=0.1/0.2/0.3,std=1/2/3,bgr",
            ImagePreprocessing(32, 32, 3, 40, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), True),
        ),
        ("8x8,grey,mean=0.5,std=0.25", ImagePreprocessing(8, 8, 1, 0, (0.5,), (0.25,))),
        ("8x8,std=0.5", ImagePreprocessing(8, 8, 3, 0, (0.0,) * 3, (0.5,) * 3)),
    ],
)
def test_image_records(text, expected):
    assert parse_image(text) == expected


BAD_IMAGES = ",resize=3 224 224x 0x4 4x99999 -4x4 4x4,resize=x 4x4,mean=a/b/c 4x4,mean=1/2 8x8,std=0 8x8,blue"


@pytest.mark.parametrize("text", BAD_IMAGES.split())
def test_image_records_that_make_no_sense(text):
    with pytest.raises(InputError, match="USAGE") as error:
        parse_image(text)
    assert text in error.value.message
    assert error.value.hint


def test_overrides():
    texts = ["features.0*=dense", "head=sparsity:0.5,group:gs8x1", "a=b*=group:gs4x1"]
    assert parse_overrides(texts) == {
        "features.0*": "dense",
        "head": {"sparsity": 0.5, "group": "gs8x1"},
        "a=b*": {"group": "gs4x1"},
    }


@pytest.mark.parametrize(
    "texts",
    [
        ["head"],
        ["=dense"],
        ["head="],
        ["head=sparse"],
        ["head=sparsity:x"],
        ["head=sparsity:1,sparsity:2"],
        ["h=dense"] * 2,
    ],
)
def test_overrides_that_make_no_sense(texts):
    with pytest.raises(InputError, match="USAGE"):
        parse_overrides(texts)

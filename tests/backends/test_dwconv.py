"""Depthwise convolution against a slow, obvious twin on shapes around every tile edge."""

import numpy as np
import pytest

from edge_sparse.backends.numba.depthwise import DepthwiseConvolution
from edge_sparse.backends.numba.target import host_target
from edge_sparse.errors import InputError
from edge_sparse.plan import Activation

LANES = host_target().lanes


def twin(weights, x, stride, dilation, padding, bias):
    top, left, bottom, right = padding
    padded = np.pad(x.astype(float), ((0, 0), (top, bottom), (left, right)))
    channels, kernel_h, kernel_w = weights.shape
    height = (padded.shape[1] - (kernel_h - 1) * dilation - 1) // stride + 1
    width = (padded.shape[2] - (kernel_w - 1) * dilation - 1) // stride + 1
    y = np.zeros((channels, height, width))
    for c, i, j in np.ndindex(y.shape):
        window = padded[c, i * stride :: dilation, j * stride :: dilation][:kernel_h, :kernel_w]
        y[c, i, j] = (window * weights[c]).sum() + bias[c]
    return y


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, LANES - 1, LANES, LANES + 1, 2 * LANES + 3, 29])
def test_equals_twin_around_tile_edges(width, kernel, stride):
    rng = np.random.default_rng(width)
    for height in (1, 3, 4, 7, 9):
        padding = (kernel // 2,) * 4
        x = rng.standard_normal((3, height, width)).astype(np.float32)
        weights = rng.standard_normal((3, kernel, kernel)).astype(np.float32)
        bias = rng.standard_normal(3).astype(np.float32)
        layer = DepthwiseConvolution(weights, height, width, stride=stride, padding=padding, bias=bias)
        np.testing.assert_allclose(layer(x), twin(weights, x, stride, 1, padding, bias), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (0, 0, 1, 1), (2, 2, 2, 2), (1, 3, 0, 2)])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_padding_dilation_and_activation(padding, dilation, stride):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 11, 13)).astype(np.float32)
    weights = rng.standard_normal((2, 3, 3)).astype(np.float32)
    layer = DepthwiseConvolution(
        weights, 11, 13, stride=stride, dilation=dilation, padding=padding, activation=Activation.RELU
    )
    expected = np.maximum(twin(weights, x, stride, dilation, padding, np.zeros(2)), 0)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [1, 3, 5, 7, 14, 30])
def test_writes_stay_inside_the_planes(width):
    layer = DepthwiseConvolution(np.ones((2, 3, 3), np.float32), 5, width, padding=(1, 1, 1, 1))
    y = layer.allocate_output()
    memory = np.full((4, y.shape[1]), 7, np.float32)
    layer.run(layer.allocate_input(), memory[1:3])
    assert (memory[0] == 7).all()
    assert (memory[3] == 7).all()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"stride": 0}, "INPUT_WINDOW"),
        ({"dilation": 9}, "INPUT_WINDOW"),
        ({"bias": np.zeros(3, np.float32)}, "INPUT_SHAPE"),
    ],
)
def test_wrong_options_are_refused(options, code):
    with pytest.raises(InputError, match=code):
        DepthwiseConvolution(np.ones((2, 3, 3), np.float32), 5, 5, **options)


def test_wrong_input_is_refused():
    layer = DepthwiseConvolution(np.ones((2, 3, 3), np.float32), 5, 5)
    with pytest.raises(InputError, match="INPUT_SHAPE"):
        layer(np.zeros((2, 5, 6), np.float32))

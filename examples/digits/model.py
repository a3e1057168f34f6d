"""A small network for handwritten digits, with trained weights: dense, and with 80 % of its weights dropped.

``edge-sparse convert examples/digits/model.py:pruned -o digits.egs`` converts the pruned one. ``train.py`` in this
folder made the weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

__all__ = ["IMAGE", "LABELS", "Digits", "as_images", "dense", "pruned", "test_images", "train_images"]

FOLDER = Path(__file__).resolve().parent
LABELS = tuple("0123456789")
#: What the network wants to see, in the words of ``edge_sparse.plan.ImagePreprocessing``: grey, 16 x 16, 0 to 1.
IMAGE = {"height": 16, "width": 16, "channels": 1, "mean": (0.0,), "std": (1.0,)}
HELD_OUT = 360


def _convolution(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outputs)]


class Separable(nn.Sequential):
    """Depthwise 3x3 and pointwise 1x1 convolution (Howard et al. 2017)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            *_convolution(inputs, inputs, 3, stride, inputs),
            nn.ReLU(),
            *_convolution(inputs, outputs),
            nn.ReLU(),
        )


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2015)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_convolution(channels, hidden, 3), nn.ReLU(), *_convolution(hidden, channels, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return relu(x + body(x)), the shape of x."""
        return torch.relu(x + self.body(x))


class InvertedResidual(nn.Module):
    """Pointwise expansion, depthwise 3x3, pointwise projection, around a shortcut (Sandler et al. 2018)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_convolution(channels, hidden),
            nn.ReLU(),
            *_convolution(hidden, hidden, 3, groups=hidden),
            nn.ReLU(),
            *_convolution(hidden, channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x + body(x), the shape of x."""
        return x + self.body(x)


class Digits(nn.Module):
    """Images (N, 1, 16, 16) from 0 to 1 to logits (N, 10); 46 784 weights and their batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_convolution(1, 16, 3), nn.ReLU())
        self.features = nn.Sequential(
            Separable(16, 32, stride=2),
            Residual(32, 32),
            Separable(32, 64),
            InvertedResidual(64, 128),
            Separable(64, 96, stride=2),
        )
        self.head = nn.Linear(96, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        features: torch.Tensor = self.features(self.stem(images))
        logits: torch.Tensor = self.head(features.mean((2, 3)))
        return logits


def _shipped(name: str) -> tuple[nn.Module, tuple[torch.Tensor]]:
    from safetensors.torch import load_file

    module = Digits()
    module.load_state_dict(load_file(FOLDER / f"{name}.safetensors"))
    return module.eval(), (torch.zeros(1, 1, 16, 16),)


def dense() -> tuple[nn.Module, tuple[torch.Tensor]]:
    """Return the dense network with its weights, and example inputs."""
    return _shipped("dense")


def pruned() -> tuple[nn.Module, tuple[torch.Tensor]]:
    """Return the pruned network with its weights, and example inputs."""
    return _shipped("pruned")


def as_images(digits: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Enlarge digits (N, 8, 8) from 0 to 16 to grey images (N, 16, 16), bilinearly between pixel centres."""
    enlarge = np.zeros((16, 8))
    for row in range(16):
        position = min(max((row + 0.5) / 2 - 0.5, 0), 7)
        below = min(int(position), 6)
        enlarge[row, below] += 1 - (position - below)
        enlarge[row, below + 1] += position - below
    return np.rint(enlarge @ (digits * (255 / 16)) @ enlarge.T).astype(np.uint8)


def _split() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return all images and labels in one fixed random order."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    return as_images(data.images[order]), data.target[order].astype(np.int64)


def train_images() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the images (N, 1, 16, 16) from 0 to 1 and labels (N,) to train with."""
    images, labels = _split()
    return images[:-HELD_OUT, None] / np.float32(255), labels[:-HELD_OUT]


def test_images() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the 360 images (N, 1, 16, 16) from 0 to 1 and labels (N,) that training never sees."""
    images, labels = _split()
    return images[-HELD_OUT:, None] / np.float32(255), labels[-HELD_OUT:]

"""ShuffleNet v2 0.5."""

import torch
from torch import nn

from zoo.blocks import conv_norm, randomise


def shuffle(x, groups=2):
    batch, channels, height, width = x.shape
    x = x.view(batch, groups, channels // groups, height, width).transpose(1, 2).contiguous()
    return x.view(batch, channels, height, width)


def branch(inputs, channels, stride):
    return nn.Sequential(
        conv_norm(inputs, channels, 1),
        conv_norm(channels, channels, 3, stride, channels, None),
        conv_norm(channels, channels, 1),
    )


class ShuffleUnit(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        half, self.stride = outputs // 2, stride
        self.right = branch(half if stride == 1 else inputs, half, stride)
        self.left = None
        if stride == 2:
            self.left = nn.Sequential(conv_norm(inputs, inputs, 3, 2, inputs, None), conv_norm(inputs, half, 1))

    def forward(self, x):
        if self.stride == 1:
            left, right = x.chunk(2, dim=1)
            return shuffle(torch.cat((left, self.right(right)), dim=1))
        return shuffle(torch.cat((self.left(x), self.right(x)), dim=1))


class ShuffleNetV2(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        layers, channels = [conv_norm(3, 24, stride=2), nn.MaxPool2d(3, 2, 1)], 24
        for outputs, count in ((48, 4), (96, 8), (192, 4)):
            for index in range(count):
                layers.append(ShuffleUnit(channels, outputs, 1 if index else 2))
                channels = outputs
        self.features = nn.Sequential(*layers, conv_norm(channels, 1024, 1))
        self.classifier = nn.Linear(1024, classes)

    def forward(self, x):
        return self.classifier(self.features(x).mean([2, 3]))


def shufflenet_v2(classes=1000, seed=0):
    return randomise(ShuffleNetV2(classes), seed)

"""EfficientNet-B0."""

from torch import nn

from zoo.blocks import SqueezeExcite, conv_norm, randomise
from zoo.mobilenet import InvertedResidual

# expansion, kernel, stride, outputs, count
B0 = [
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
]


class EfficientNet(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        layers, channels = [conv_norm(3, 32, stride=2, activation=nn.SiLU)], 32
        for factor, kernel, first_stride, outputs, count in B0:
            for index in range(count):
                stride, expanded = (first_stride if index == 0 else 1), channels * factor
                excite = SqueezeExcite(expanded, max(1, channels // 4), nn.SiLU)
                layers.append(InvertedResidual(channels, expanded, outputs, kernel, stride, nn.SiLU, excite))
                channels = outputs
        self.features = nn.Sequential(*layers, conv_norm(channels, 1280, 1, activation=nn.SiLU))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x):
        return self.classifier(self.pool(self.features(x)).flatten(1))


def efficientnet_b0(classes=1000, seed=0):
    return randomise(EfficientNet(classes), seed)

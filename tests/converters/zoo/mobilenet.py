"""MobileNet v1, v2 and v3."""

from torch import nn

from zoo.blocks import SqueezeExcite, conv_norm, divisible, randomise

V1 = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
V2 = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
# kernel, expanded, outputs, squeeze-and-excite, hardswish, stride
V3_LARGE = [
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
]
V3_SMALL = [
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
]


class MobileNetV1(nn.Module):
    def __init__(self, width=1.0, classes=1000):
        super().__init__()
        channels = int(32 * width)
        layers = [conv_norm(3, channels, stride=2)]
        for wide, stride in V1:
            outputs = int(wide * width)
            layers += [conv_norm(channels, channels, stride=stride, groups=channels), conv_norm(channels, outputs, 1)]
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x):
        return self.classifier(self.pool(self.features(x)).flatten(1))


class InvertedResidual(nn.Module):
    def __init__(self, inputs, expanded, outputs, kernel, stride, activation, excite=None):
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        layers = [conv_norm(inputs, expanded, 1, activation=activation)] if expanded != inputs else []
        layers.append(conv_norm(expanded, expanded, kernel, stride, expanded, activation))
        if excite:
            layers.append(excite)
        self.layers = nn.Sequential(*layers, conv_norm(expanded, outputs, 1, activation=None))

    def forward(self, x):
        return x + self.layers(x) if self.residual else self.layers(x)


class MobileNetV2(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        layers, channels = [conv_norm(3, 32, stride=2, activation=nn.ReLU6)], 32
        for factor, outputs, count, first_stride in V2:
            for index in range(count):
                stride = first_stride if index == 0 else 1
                layers.append(InvertedResidual(channels, channels * factor, outputs, 3, stride, nn.ReLU6))
                channels = outputs
        self.features = nn.Sequential(*layers, conv_norm(channels, 1280, 1, activation=nn.ReLU6))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x):
        return self.classifier(self.features(x).mean([2, 3]))


class MobileNetV3(nn.Module):
    def __init__(self, rows, last, classes=1000):
        super().__init__()
        layers, channels = [conv_norm(3, 16, stride=2, activation=nn.Hardswish)], 16
        for kernel, expanded, outputs, excited, hardswish, stride in rows:
            activation = nn.Hardswish if hardswish else nn.ReLU
            excite = SqueezeExcite(expanded, divisible(expanded // 4), gate=nn.Hardsigmoid) if excited else None
            layers.append(InvertedResidual(channels, expanded, outputs, kernel, stride, activation, excite))
            channels = outputs
        layers.append(conv_norm(channels, 6 * channels, 1, activation=nn.Hardswish))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, last), nn.Hardswish(inplace=True), nn.Dropout(0.2), nn.Linear(last, classes)
        )

    def forward(self, x):
        return self.classifier(self.pool(self.features(x)).flatten(1))


def mobilenet_v1(width=1.0, classes=1000, seed=0):
    return randomise(MobileNetV1(width, classes), seed)


def mobilenet_v2(classes=1000, seed=0):
    return randomise(MobileNetV2(classes), seed)


def mobilenet_v3_large(classes=1000, seed=0):
    return randomise(MobileNetV3(V3_LARGE, 1280, classes), seed)


def mobilenet_v3_small(classes=1000, seed=0):
    return randomise(MobileNetV3(V3_SMALL, 1024, classes), seed)

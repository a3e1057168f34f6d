"""ResNet-18 and ResNet-50 for photographs, ResNet-20 for CIFAR."""

import torch.nn.functional as F
from torch import nn

from zoo.blocks import conv_norm, randomise


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.first = conv_norm(inputs, channels, 3, stride)
        self.second = conv_norm(channels, channels, 3, activation=None)
        changes = stride != 1 or inputs != channels
        self.shortcut = conv_norm(inputs, channels, 1, stride, activation=None) if changes else nn.Identity()

    def forward(self, x):
        out = self.second(self.first(x))
        out += self.shortcut(x)
        return F.relu(out)


class Bottleneck(nn.Module):
    expansion = 4

    def __init__(self, inputs, channels, stride):
        super().__init__()
        outputs = channels * self.expansion
        self.first = conv_norm(inputs, channels, 1)
        self.second = conv_norm(channels, channels, 3, stride)
        self.third = conv_norm(channels, outputs, 1, activation=None)
        changes = stride != 1 or inputs != outputs
        self.shortcut = conv_norm(inputs, outputs, 1, stride, activation=None) if changes else nn.Identity()

    def forward(self, x):
        return F.relu(self.third(self.second(self.first(x))) + self.shortcut(x))


class ResNet(nn.Module):
    def __init__(self, block, counts, classes=1000):
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1))
        layers, inputs = [], 64
        for stage, count in enumerate(counts):
            for index in range(count):
                channels = 64 << stage
                layers.append(block(inputs, channels, 2 if stage and not index else 1))
                inputs = channels * block.expansion
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d((1, 1))
        self.classifier = nn.Linear(inputs, classes)

    def forward(self, x):
        return self.classifier(self.pool(self.layers(self.stem(x))).flatten(1))


class CifarBlock(nn.Module):
    """A block whose shortcut has no weights: every second pixel, and zero channels on both sides (option A)."""

    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.extra = stride, (channels - inputs) // 2

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.stride != 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra, self.extra))
        return F.relu(out + x)


class CifarResNet(nn.Module):
    def __init__(self, blocks=3, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = self._stage(16, 16, blocks, 1)
        self.layer2 = self._stage(16, 32, blocks, 2)
        self.layer3 = self._stage(32, 64, blocks, 2)
        self.linear = nn.Linear(64, classes)

    @staticmethod
    def _stage(inputs, channels, blocks, stride):
        first = CifarBlock(inputs, channels, stride)
        return nn.Sequential(first, *(CifarBlock(channels, channels, 1) for _ in range(blocks - 1)))

    def forward(self, x):
        out = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        out = F.avg_pool2d(out, out.size()[3])
        return self.linear(out.view(out.size(0), -1))


def resnet18(classes=1000, seed=0):
    return randomise(ResNet(BasicBlock, (2, 2, 2, 2), classes), seed)


def resnet50(classes=1000, seed=0):
    return randomise(ResNet(Bottleneck, (3, 4, 6, 3), classes), seed)


def cifar_resnet20(seed=0):
    return randomise(CifarResNet(3), seed)

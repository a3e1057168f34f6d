"""Small networks with every way in which channels of one layer are tied to those of another."""

import numpy as np


def chain(b):
    x = b.conv("x", 16, 3, activation="relu")
    x = b.depthwise(x, activation="relu")
    return b.conv(b.conv(x, 24, activation="relu"), 8, 3)


def residual(b):
    x = b.conv("x", 16, 3, activation="relu")
    y = b.conv(b.depthwise(b.conv(x, 32, activation="relu")), 16)
    x = b.same("add", x, y, activation="relu")
    return b.conv(b.conv(b.conv(x, 24), 16, 3, residual=x, activation="relu"), 5)


def squeeze_and_excite(b):
    x = b.conv("x", 32, activation="silu")
    gate = b.conv(b.conv(b.mean(x, keepdim=True), 8, activation="relu"), 32, activation="sigmoid")
    return b.conv(b.same("mul", x, gate), 6)


def gate_first(b):
    x = b.conv("x", 16)
    gate = b.conv(b.mean(x, keepdim=True), 16, activation="sigmoid")
    return b.conv(b.node("mul", [gate, x], b.shape(x)), 6)


def concatenations(b):
    x = b.conv("x", 12)
    y = b.concat(b.conv(x, 8), b.conv(x, 20, 3), x)
    wide = b.conv(y, 40)
    z = b.same("add", wide, y)
    return b.conv(b.concat(z, b.pool("max_pool", y, 3, 1, 1)), 4)


def concatenation_along_rows(b):
    x, y = b.conv("x", 12), b.conv("x", 12)
    return b.conv(b.concat(x, y, axis=2), 4)


def flatten(b):
    x = b.pool("max_pool", b.conv("x", 12, 3), 2, 2)
    x = b.node("reshape", [x], (b.shape(x)[0], int(np.prod(b.shape(x)[1:]))))
    return b.linear(b.linear(x, 20, activation="relu"), 5)


def flatten_and_back(b):
    x = b.conv("x", 12)
    flat = b.node("reshape", [x], (b.shape(x)[0], int(np.prod(b.shape(x)[1:]))))
    return b.conv(b.node("reshape", [flat], b.shape(x)), 5)


def vectors(b):
    x = b.mean(b.conv("x", 16))
    y = b.same("add", b.linear(x, 24), b.constant(24))
    y = b.same("softmax", b.same("mul", y, b.constant(1, 1)))
    return b.conv(b.node("reshape", [y], (b.shape(y)[0], 24, 1, 1)), 3)


def constants(b):
    x = b.conv("x", 16)
    x = b.same("add", x, b.constant(16, 1, 1))
    x = b.same("mul", x, b.constant(1, 16, 1, 1))
    x = b.same("mul", x, b.constant(1))
    x = b.same("add", x, b.constant(1, 1, *b.shape(x)[2:]))
    x = b.same("batch_norm", x, b.constant(16), b.constant(16))
    return b.conv(x, 4)


def grouped(b):
    x = b.conv("x", 16, 3)
    x = b.conv(x, 24, 3, groups=4, activation="relu")
    return b.conv(b.conv(x, 16), 8)


def channel_multiplier(b):
    x = b.conv("x", 12)
    x = b.conv(x, 24, 3, groups=12)
    return b.conv(x, 8)


def option_a_shortcut(b):
    x = b.conv("x", 8, 3, activation="relu")
    for channels in (16, 32):
        batch, before, height, width = b.shape(x)
        small = (batch, before, -(-height // 2), -(-width // 2))
        short = b.node("subsample", [x], small, stride=(2, 2))
        extra = (channels - before) // 2
        short = b.node("pad_channels", [short], (batch, channels, *small[2:]), before=extra, after=extra)
        y = b.conv(x, channels, 3, stride=2, activation="relu")
        x = b.conv(y, channels, 3, residual=short, activation="relu")
    return b.linear(b.mean(x), 5)


def split_and_shuffle(b):
    x = b.conv("x", 16)
    batch, _, height, width = b.shape(x)
    left = b.node("select_channels", [x], (batch, 6, height, width), channels=tuple(range(6)))
    right = b.node("select_channels", [x], (batch, 10, height, width), channels=tuple(range(6, 16)))
    x = b.concat(left, b.conv(b.depthwise(right), 10))
    shuffled = tuple(np.arange(16).reshape(2, 8).T.ravel().tolist())
    x = b.same("select_channels", x, channels=shuffled)
    return b.conv(b.same("add", x, b.conv(x, 16)), 4)


def two_outputs(b):
    x = b.conv("x", 16)
    return b.conv(x, 8), b.conv(b.conv(x, 8), 8, residual=b.conv(x, 8))


def inner_output(b):
    x = b.conv("x", 16)
    return x, b.conv(b.conv(x, 16, activation="relu"), 4)


def shared_weight(b):
    x = b.conv("x", 16)
    y = b.conv(x, 16)
    weight, bias = b.graph.nodes[-1].inputs[1:3]
    attributes = b.graph.nodes[-1].attributes
    return b.conv(b.node("conv", [y, weight, bias], b.shape(y), **attributes), 4)


def unknown_operation(b):
    x = b.conv("x", 16)
    y = b.same("reverse", x)
    return b.conv(b.conv(b.same("add", y, b.conv(x, 16)), 8), 4)


NETWORKS = [
    chain,
    residual,
    squeeze_and_excite,
    gate_first,
    concatenations,
    concatenation_along_rows,
    flatten,
    flatten_and_back,
    vectors,
    constants,
    grouped,
    channel_multiplier,
    option_a_shortcut,
    split_and_shuffle,
    two_outputs,
    inner_output,
    shared_weight,
    unknown_operation,
]
#: Networks in which nothing may move: a reshape that takes channels apart.
PINNED = {flatten_and_back}

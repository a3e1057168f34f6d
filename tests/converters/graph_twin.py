"""Evaluates a converter graph directly on padded arrays; shares no code with lowering or the backends."""

import math

import numpy as np

ACTIVATIONS = {
    "none": lambda v: v,
    "tanh": np.tanh,
    "gelu": lambda v: v * (1 + np.vectorize(math.erf)(v / 2**0.5)) / 2,
    "hardsigmoid": lambda v: np.clip(v + 3, 0, 6) / 6,
    "relu": lambda v: np.maximum(v, 0),
    "hardswish": lambda v: v * np.clip(v + 3, 0, 6) / 6,
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "silu": lambda v: v / (1 + np.exp(-v)),
}


def windows(x, kernel, stride, padding, dilation, fill):
    top, left, bottom, right = padding
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    view = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    return view[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def conv(node, x, weight, bias=0.0, residual=0.0):
    a = node.attributes
    view = windows(x, weight.shape[2:], a["stride"], a["padding"], a["dilation"], 0)
    groups = a["groups"]
    parts = zip(np.split(view, groups, axis=1), np.split(weight, groups), strict=True)
    result = np.concatenate([np.einsum("nchwij,ocij->nohw", v, w) for v, w in parts], axis=1)
    return result + np.reshape(bias, (1, -1, 1, 1)) + residual


def avg_pool(node, x):
    a = node.attributes
    dilation = (1, 1)
    sums = windows(x, a["kernel"], a["stride"], a["padding"], dilation, 0).sum(axis=(4, 5))
    if a["count_include_pad"]:
        return sums / math.prod(a["kernel"])
    return sums / windows(np.ones_like(x), a["kernel"], a["stride"], a["padding"], dilation, 0).sum(axis=(4, 5))


def pad(node, x):
    top, left, bottom, right = node.attributes["padding"]
    sides = ((0, 0), (0, 0), (top, bottom), (left, right))
    return np.pad(x, sides, constant_values=node.attributes["value"])


def pad_channels(node, x):
    return np.pad(x, ((0, 0), (node.attributes["before"], node.attributes["after"]), (0, 0), (0, 0)))


def batch_norm(node, x, scale, shift):
    axes = (1, -1) + (1,) * (x.ndim - 2)
    return x * scale.reshape(axes) + shift.reshape(axes)


def activate(node, value):
    attributes = node.attributes
    if attributes.get("activation") == "clamp":
        return np.clip(value, attributes["clamp_low"], attributes["clamp_high"])
    return ACTIVATIONS[attributes.get("activation", "none")](value)


def broadcast(a, b):
    return b if b.ndim == a.ndim or b.size == 1 else b.reshape(-1, a.shape[1], *[1] * (a.ndim - 2))


OPERATIONS = {
    "conv": conv,
    "linear": lambda node, x, weight, bias=0.0: x @ weight.T + bias,
    "add": lambda node, a, b: a + broadcast(a, b),
    "mul": lambda node, a, b: a * broadcast(a, b),
    "activation": lambda node, x: x,
    "concat": lambda node, *values: np.concatenate(values, axis=node.attributes["axis"]),
    "mean": lambda node, x: x.mean(axis=(2, 3), keepdims=node.attributes["keepdim"]),
    "max_pool": lambda node, x: windows(
        x,
        node.attributes["kernel"],
        node.attributes["stride"],
        node.attributes["padding"],
        node.attributes.get("dilation", (1, 1)),
        -np.inf,
    ).max(axis=(4, 5)),
    "avg_pool": avg_pool,
    "batch_norm": batch_norm,
    "pad": pad,
    "pad_channels": pad_channels,
    "select_channels": lambda node, x: np.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0)))[
        :, list(node.attributes["channels"])
    ],
    "subsample": lambda node, x: x[:, :, :: node.attributes["stride"][0], :: node.attributes["stride"][1]],
    "softmax": lambda node, x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
}


def evaluate(graph, inputs):
    values = {name: value.data.astype(float) for name, value in graph.values.items() if value.data is not None}
    values |= {name: value.astype(float) for name, value in inputs.items()}
    for node in graph.nodes:
        shape = graph.values[node.outputs[0]].shape
        if node.op == "reshape":
            values[node.outputs[0]] = values[node.inputs[0]].reshape(shape)
            continue
        result = OPERATIONS[node.op](node, *(values[name] if name else 0.0 for name in node.inputs))
        values[node.outputs[0]] = activate(node, result).reshape(shape)
    return {name: values[name] for name in graph.outputs}

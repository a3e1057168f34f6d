"""Evaluates a converter graph directly on padded arrays; shares no code with lowering or the backends."""

import numpy as np

ACTIVATIONS = {
    "none": lambda v: v,
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
        x, node.attributes["kernel"], node.attributes["stride"], node.attributes["padding"], (1, 1), -np.inf
    ).max(axis=(4, 5)),
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
        result = OPERATIONS[node.op](node, *(values[name] for name in node.inputs))
        values[node.outputs[0]] = ACTIVATIONS[node.attributes.get("activation", "none")](result).reshape(shape)
    return {name: values[name] for name in graph.outputs}

"""Builds small converter graphs with random weights, one call per node."""

from __future__ import annotations

import numpy as np
from edge_sparse.converters.graph import Graph, Node, Value


class GraphBuilder:
    """Methods take and return value names; shapes follow from the inputs."""

    def __init__(self, *input_shape: int, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.graph = Graph(inputs=["x"])
        self.graph.values["x"] = Value("x", input_shape)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.graph.values[name].shape

    def constant(self, *shape: int, scale: float = 1.0, data: np.ndarray | None = None) -> str:
        name = f"constant{len(self.graph.values)}"
        data = self.random.standard_normal(shape) * scale if data is None else data
        self.graph.values[name] = Value(name, data.shape, data=data.astype(np.float32))
        return name

    def node(self, op: str, inputs: list[str], shape: tuple[int, ...], **attributes: object) -> str:
        name = f"{op}{len(self.graph.nodes)}"
        self.graph.values[f"{name}.out"] = Value(f"{name}.out", shape)
        self.graph.nodes.append(Node(op, name, inputs, [f"{name}.out"], attributes))
        return f"{name}.out"

    def conv(
        self,
        x: str,
        channels: int,
        kernel: int | tuple[int, int] = 1,
        *,
        stride: int | tuple[int, int] = 1,
        padding: tuple[int, int, int, int] | None = None,
        dilation: int = 1,
        groups: int = 1,
        residual: str | None = None,
        prune: tuple[int, float] | None = None,
        **attributes: object,
    ) -> str:
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        stride = (stride, stride) if isinstance(stride, int) else stride
        reach = [(taps - 1) * dilation for taps in kernel]
        padding = padding or (reach[0] // 2, reach[1] // 2, reach[0] - reach[0] // 2, reach[1] - reach[1] // 2)
        batch, inputs, height, width = self.shape(x)
        scale = (inputs // groups * kernel[0] * kernel[1]) ** -0.5
        weight = self.random.standard_normal((channels, inputs // groups, *kernel)).astype(np.float32) * scale
        if prune:
            group, sparsity = prune
            strips = -(-channels // group)
            keep = self.random.random((strips, inputs // groups, *kernel)) >= sparsity
            weight *= np.repeat(keep, group, axis=0)[:channels]
        names = [x, self.constant(data=weight), self.constant(channels)] + ([residual] if residual else [])
        out = (
            batch,
            channels,
            (height + padding[0] + padding[2] - reach[0] - 1) // stride[0] + 1,
            (width + padding[1] + padding[3] - reach[1] - 1) // stride[1] + 1,
        )
        return self.node(
            "conv",
            names,
            out,
            stride=stride,
            padding=padding,
            dilation=(dilation, dilation),
            groups=groups,
            **attributes,
        )

    def depthwise(self, x: str, kernel: int = 3, **options: object) -> str:
        channels = self.shape(x)[1]
        return self.conv(x, channels, kernel, groups=channels, **options)  # type: ignore[arg-type]

    def linear(self, x: str, rows: int, **attributes: object) -> str:
        *lead, columns = self.shape(x)
        weight = self.constant(rows, columns, scale=columns**-0.5)
        return self.node("linear", [x, weight, self.constant(rows)], (*lead, rows), **attributes)

    def pool(self, op: str, x: str, kernel: int, stride: int, padding: int = 0, **attributes: object) -> str:
        batch, channels, *size = self.shape(x)
        out = [(length + 2 * padding - kernel) // stride + 1 for length in size]
        return self.node(
            op,
            [x],
            (batch, channels, out[0], out[1]),
            kernel=(kernel, kernel),
            stride=(stride, stride),
            padding=(padding,) * 4,
            **attributes,
        )

    def mean(self, x: str, keepdim: bool = False) -> str:
        shape = self.shape(x)[:2] + ((1, 1) if keepdim else ())
        return self.node("mean", [x], shape, keepdim=keepdim)

    def same(self, op: str, *inputs: str, **attributes: object) -> str:
        return self.node(op, list(inputs), self.shape(inputs[0]), **attributes)

    def concat(self, *inputs: str, axis: int = 1) -> str:
        shape = list(self.shape(inputs[0]))
        shape[axis] = sum(self.shape(name)[axis] for name in inputs)
        return self.node("concat", list(inputs), tuple(shape), axis=axis)

    def finish(self, *outputs: str) -> Graph:
        self.graph.outputs = list(outputs)
        return self.graph

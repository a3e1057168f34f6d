"""A convolutional converter graph as an ONNX file."""

from __future__ import annotations

import numpy as np
import onnx
from edge_sparse.converters.graph import Graph, Node
from onnx import TensorProto, helper, numpy_helper


def _activation(node: Node, x: str, y: str) -> list[onnx.NodeProto]:
    kind = node.attributes.get("activation", "none")
    if kind == "relu":
        return [helper.make_node("Relu", [x], [y])]
    if kind == "clamp":
        return [helper.make_node("Clip", [x, "low", "high"], [y])]
    return [helper.make_node("Identity", [x], [y])]


def _nodes(node: Node) -> list[onnx.NodeProto]:
    y, raw = node.outputs[0], node.outputs[0] + ".raw"
    if node.op == "conv":
        a = node.attributes
        conv = helper.make_node(
            "Conv",
            node.inputs[:3],
            [raw],
            strides=list(a["stride"]),
            pads=list(a["padding"]),
            dilations=list(a["dilation"]),
            group=a["groups"],
        )
        return [conv, *_activation(node, raw, y)]
    if node.op == "mean":
        return [helper.make_node("ReduceMean", [node.inputs[0]], [y], axes=[2, 3], keepdims=0)]
    if node.op == "linear":
        return [helper.make_node("Gemm", node.inputs[:3], [y], transB=1)]
    raise ValueError(f"no ONNX form of {node.op}")


def onnx_bytes(graph: Graph) -> bytes:
    """Return the file; conv, mean and linear with relu or clamp are known."""
    constants = [numpy_helper.from_array(v.data, n) for n, v in graph.values.items() if v.data is not None]
    constants += [numpy_helper.from_array(np.float32(v), n) for n, v in (("low", 0), ("high", 6))]

    def infos(names: list[str]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, graph.values[n].shape) for n in names]

    nodes = [made for node in graph.nodes for made in _nodes(node)]
    body = helper.make_graph(nodes, graph.name, infos(graph.inputs), infos(graph.outputs), constants)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model.SerializeToString()

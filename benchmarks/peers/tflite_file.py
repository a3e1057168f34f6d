"""A convolutional converter graph as a TFLite file (NHWC, as LiteRT wants it)."""

from __future__ import annotations

import flatbuffers
import numpy as np
import tflite
from edge_sparse.converters.graph import Graph, Node

_OPERATORS = {"conv": 3, "depthwise": 4, "mean": 40, "linear": 9}


class _Writer:
    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1 << 20)
        self.buffers: list[np.ndarray] = [np.zeros(0, np.uint8)]
        self.tensors: list[tuple[str, tuple[int, ...], int, int]] = []
        self.numbers: dict[str, int] = {}
        self.operators: list[int] = []

    def tensor(self, name: str, shape: tuple[int, ...], data: np.ndarray | None = None, kind: int = 0) -> int:
        if name not in self.numbers:
            self.numbers[name] = len(self.tensors)
            if data is not None:
                self.buffers.append(np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8))
            self.tensors.append((name, shape, 0 if data is None else len(self.buffers) - 1, kind))
        return self.numbers[name]

    def vector(self, start, values, append) -> int:
        start(self.builder, len(values))
        for value in reversed(values):
            append(value)
        return self.builder.EndVector()

    def ints(self, start, values) -> int:
        return self.vector(start, [int(v) for v in values], self.builder.PrependInt32)

    def operator(self, kind: str, inputs: list[int], output: int, options: int, options_type: int) -> None:
        b = self.builder
        ins = self.ints(tflite.OperatorStartInputsVector, inputs)
        outs = self.ints(tflite.OperatorStartOutputsVector, [output])
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, list(_OPERATORS).index(kind))
        tflite.OperatorAddInputs(b, ins)
        tflite.OperatorAddOutputs(b, outs)
        tflite.OperatorAddBuiltinOptionsType(b, options_type)
        tflite.OperatorAddBuiltinOptions(b, options)
        self.operators.append(tflite.OperatorEnd(b))

    def finish(self, graph: Graph) -> bytes:
        b = self.builder
        buffers = []
        for data in self.buffers:
            content = b.CreateNumpyVector(data) if data.size else 0
            tflite.BufferStart(b)
            if content:
                tflite.BufferAddData(b, content)
            buffers.append(tflite.BufferEnd(b))
        tensors = []
        for name, shape, buffer, kind in self.tensors:
            text, dims = b.CreateString(name), self.ints(tflite.TensorStartShapeVector, shape)
            tflite.TensorStart(b)
            tflite.TensorAddShape(b, dims)
            tflite.TensorAddType(b, kind)
            tflite.TensorAddBuffer(b, buffer)
            tflite.TensorAddName(b, text)
            tensors.append(tflite.TensorEnd(b))
        codes = []
        for code in _OPERATORS.values():
            tflite.OperatorCodeStart(b)
            tflite.OperatorCodeAddDeprecatedBuiltinCode(b, code)
            tflite.OperatorCodeAddBuiltinCode(b, code)
            tflite.OperatorCodeAddVersion(b, 1)
            codes.append(tflite.OperatorCodeEnd(b))
        offset = b.PrependUOffsetTRelative
        tensor_list = self.vector(tflite.SubGraphStartTensorsVector, tensors, offset)
        operators = self.vector(tflite.SubGraphStartOperatorsVector, self.operators, offset)
        ins = self.ints(tflite.SubGraphStartInputsVector, [self.numbers[n] for n in graph.inputs])
        outs = self.ints(tflite.SubGraphStartOutputsVector, [self.numbers[n] for n in graph.outputs])
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, tensor_list)
        tflite.SubGraphAddInputs(b, ins)
        tflite.SubGraphAddOutputs(b, outs)
        tflite.SubGraphAddOperators(b, operators)
        main = tflite.SubGraphEnd(b)
        code_list = self.vector(tflite.ModelStartOperatorCodesVector, codes, offset)
        subgraphs = self.vector(tflite.ModelStartSubgraphsVector, [main], offset)
        buffer_list = self.vector(tflite.ModelStartBuffersVector, buffers, offset)
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, code_list)
        tflite.ModelAddSubgraphs(b, subgraphs)
        tflite.ModelAddBuffers(b, buffer_list)
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        return bytes(b.Output())


def _nhwc(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (shape[0], shape[2], shape[3], shape[1]) if len(shape) == 4 else tuple(shape)


def _conv(w: _Writer, graph: Graph, node: Node) -> None:
    a, b = node.attributes, w.builder
    weight = np.asarray(graph.constant(node.inputs[1]), np.float32)
    depthwise = a["groups"] > 1
    data = weight.transpose(1, 2, 3, 0) if depthwise else weight.transpose(0, 2, 3, 1)
    x_shape, y_shape = graph.values[node.inputs[0]].shape, graph.values[node.outputs[0]].shape
    x = w.tensor(node.inputs[0], _nhwc(x_shape))
    pads = sum(a["padding"])
    activation = {"none": 0, "relu": 1, "clamp": 3}[a.get("activation", "none")]
    inputs = [x, w.tensor(node.inputs[1], data.shape, data)]
    bias = np.asarray(graph.constant(node.inputs[2]), np.float32)
    inputs.append(w.tensor(node.inputs[2], bias.shape, bias))
    name = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    getattr(tflite, name + "Start")(b)
    # SAME pads at the end first, as an even image with stride 2 needs; sizes are equal to torch's either way.
    getattr(tflite, name + "AddPadding")(b, 0 if pads else 1)
    getattr(tflite, name + "AddStrideW")(b, a["stride"][1])
    getattr(tflite, name + "AddStrideH")(b, a["stride"][0])
    if depthwise:
        tflite.DepthwiseConv2DOptionsAddDepthMultiplier(b, 1)
    getattr(tflite, name + "AddFusedActivationFunction")(b, activation)
    options = getattr(tflite, name + "End")(b)
    y = w.tensor(node.outputs[0], _nhwc(y_shape))
    w.operator("depthwise" if depthwise else "conv", inputs, y, options, 2 if depthwise else 1)


def tflite_bytes(graph: Graph) -> bytes:
    """Return the file. Strided padding is TFLite's SAME, so values differ from the graph's there; times do not."""
    w = _Writer()
    for node in graph.nodes:
        b = w.builder
        if node.op == "conv":
            _conv(w, graph, node)
            continue
        x_shape, y_shape = graph.values[node.inputs[0]].shape, graph.values[node.outputs[0]].shape
        x, y = w.tensor(node.inputs[0], _nhwc(x_shape)), w.tensor(node.outputs[0], _nhwc(y_shape))
        if node.op == "mean":
            axes = w.tensor("axes", (2,), np.array([1, 2], np.int32), kind=2)
            tflite.ReducerOptionsStart(b)
            tflite.ReducerOptionsAddKeepDims(b, False)
            w.operator("mean", [x, axes], y, tflite.ReducerOptionsEnd(b), 27)
        elif node.op == "linear":
            parts = [np.asarray(graph.constant(n), np.float32) for n in node.inputs[1:3]]
            inputs = [x, *(w.tensor(n, p.shape, p) for n, p in zip(node.inputs[1:3], parts, strict=True))]
            tflite.FullyConnectedOptionsStart(b)
            w.operator("linear", inputs, y, tflite.FullyConnectedOptionsEnd(b), 8)
        else:
            raise ValueError(f"no TFLite form of {node.op}")
    return w.finish(graph)

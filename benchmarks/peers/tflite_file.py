"""A convolutional converter graph as a TFLite file (NHWC, as LiteRT wants it)."""

from __future__ import annotations

import flatbuffers
import numpy as np
import tflite
from edge_sparse.converters.graph import Graph, Node

_OPERATORS = {"conv": 3, "depthwise": 4, "mean": 40, "linear": 9, "densify": 124, "pad": 34}


class _Writer:
    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1 << 20)
        self.buffers: list[np.ndarray] = [np.zeros(0, np.uint8)]
        self.tensors: list[tuple[str, tuple[int, ...], int, int]] = []
        self.numbers: dict[str, int] = {}
        self.operators: list[int] = []
        self.sparsity: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def tensor(self, name: str, shape: tuple[int, ...], data: np.ndarray | None = None, kind: int = 0) -> int:
        if name not in self.numbers:
            self.numbers[name] = len(self.tensors)
            if data is not None:
                self.buffers.append(np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8))
            self.tensors.append((name, shape, 0 if data is None else len(self.buffers) - 1, kind))
        return self.numbers[name]

    def sparse_tensor(self, name: str, data: np.ndarray) -> int:
        """Add a 1x1 kernel of shape (out, 1, 1, in), its input channels as CSR, and the step that makes it dense."""
        matrix = data.reshape(data.shape[0], -1)
        rows, columns = np.nonzero(matrix)
        segments = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(matrix)))])
        number = self.tensor(name + ".sparse", data.shape, matrix[rows, columns])
        self.sparsity[number] = segments.astype(np.int32), columns.astype(np.int32)
        dense = self.tensor(name, data.shape)
        self.operator("densify", [number], dense, 0, 0)
        return dense

    def sparsity_parameters(self, number: int) -> int:
        if number not in self.sparsity:
            return 0
        b = self.builder
        tables = []
        for values in self.sparsity[number]:
            content = self.ints(tflite.Int32VectorStartValuesVector, values)
            tflite.Int32VectorStart(b)
            tflite.Int32VectorAddValues(b, content)
            tables.append(tflite.Int32VectorEnd(b))
        dimensions = []
        for length in self.tensors[number][1][:3]:
            tflite.DimensionMetadataStart(b)
            tflite.DimensionMetadataAddFormat(b, 0)
            tflite.DimensionMetadataAddDenseSize(b, length)
            dimensions.append(tflite.DimensionMetadataEnd(b))
        tflite.DimensionMetadataStart(b)
        tflite.DimensionMetadataAddFormat(b, 1)
        tflite.DimensionMetadataAddArraySegmentsType(b, 1)
        tflite.DimensionMetadataAddArraySegments(b, tables[0])
        tflite.DimensionMetadataAddArrayIndicesType(b, 1)
        tflite.DimensionMetadataAddArrayIndices(b, tables[1])
        dimensions.append(tflite.DimensionMetadataEnd(b))
        start = tflite.SparsityParametersStartDimMetadataVector
        listed = self.vector(start, dimensions, b.PrependUOffsetTRelative)
        order = self.ints(tflite.SparsityParametersStartTraversalOrderVector, range(4))
        tflite.SparsityParametersStart(b)
        tflite.SparsityParametersAddTraversalOrder(b, order)
        tflite.SparsityParametersAddDimMetadata(b, listed)
        return tflite.SparsityParametersEnd(b)

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
        if options_type:
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
        for number, (name, shape, buffer, kind) in enumerate(self.tensors):
            text, dims = b.CreateString(name), self.ints(tflite.TensorStartShapeVector, shape)
            sparsity = self.sparsity_parameters(number)
            tflite.TensorStart(b)
            tflite.TensorAddShape(b, dims)
            tflite.TensorAddType(b, kind)
            tflite.TensorAddBuffer(b, buffer)
            tflite.TensorAddName(b, text)
            if sparsity:
                tflite.TensorAddSparsity(b, sparsity)
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


def _padded(w: _Writer, name: str, shape: tuple[int, ...]) -> int:
    """Return the tensor with a border of one pixel, made by a step of its own."""
    b, (n, height, width, channels) = w.builder, shape
    amounts = w.tensor("border", (4, 2), np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32), kind=2)
    y = w.tensor(name + ".padded", (n, height + 2, width + 2, channels))
    tflite.PadOptionsStart(b)
    w.operator("pad", [w.tensor(name, shape), amounts], y, tflite.PadOptionsEnd(b), 22)
    return y


def _conv(w: _Writer, graph: Graph, node: Node, sparse: bool) -> None:
    a, b = node.attributes, w.builder
    weight = np.asarray(graph.constant(node.inputs[1]), np.float32)
    depthwise = a["groups"] > 1
    data = weight.transpose(1, 2, 3, 0) if depthwise else weight.transpose(0, 2, 3, 1)
    x_shape, y_shape = graph.values[node.inputs[0]].shape, graph.values[node.outputs[0]].shape
    pads = sum(a["padding"])
    # XNNPACK runs sparse networks only where the padding of strided layers is a step of its own.
    explicit = sparse and pads > 0 and max(a["stride"]) > 1
    shape = _nhwc(x_shape)
    x = _padded(w, node.inputs[0], shape) if explicit else w.tensor(node.inputs[0], shape)
    pads = 0 if explicit else pads
    activation = {"none": 0, "relu": 1, "clamp": 3}[a.get("activation", "none")]
    zeros = sparse and not depthwise and data.shape[1:3] == (1, 1) and not data.all()
    kernel = w.sparse_tensor(node.inputs[1], data) if zeros else w.tensor(node.inputs[1], data.shape, data)
    inputs = [x, kernel]
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


def tflite_bytes(graph: Graph, *, sparse: bool = False) -> bytes:
    """Return the file. Strided padding is TFLite's SAME, so values differ from the graph's there; times do not.

    With ``sparse``, 1x1 kernels with zeros are stored as TFLite's sparse tensors and strided padding is explicit, as in
    the graph: the form that XNNPACK runs with its sparse kernels, where it has some.
    """
    w = _Writer()
    for node in graph.nodes:
        b = w.builder
        if node.op == "conv":
            _conv(w, graph, node, sparse)
            continue
        x_shape, y_shape = graph.values[node.inputs[0]].shape, graph.values[node.outputs[0]].shape
        mean_shape = (x_shape[0], 1, 1, x_shape[1]) if sparse and node.op == "mean" else _nhwc(y_shape)
        x, y = w.tensor(node.inputs[0], _nhwc(x_shape)), w.tensor(node.outputs[0], mean_shape)
        if node.op == "mean":
            axes = w.tensor("axes", (2,), np.array([1, 2], np.int32), kind=2)
            tflite.ReducerOptionsStart(b)
            tflite.ReducerOptionsAddKeepDims(b, sparse)
            w.operator("mean", [x, axes], y, tflite.ReducerOptionsEnd(b), 27)
        elif node.op == "linear":
            parts = [np.asarray(graph.constant(n), np.float32) for n in node.inputs[1:3]]
            inputs = [x, *(w.tensor(n, p.shape, p) for n, p in zip(node.inputs[1:3], parts, strict=True))]
            tflite.FullyConnectedOptionsStart(b)
            w.operator("linear", inputs, y, tflite.FullyConnectedOptionsEnd(b), 8)
        else:
            raise ValueError(f"no TFLite form of {node.op}")
    return w.finish(graph)

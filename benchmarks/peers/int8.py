"""The same network in dense int8: the bar that float32 sparsity has to be seen against."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from edge_sparse.converters.graph import Graph

from peers.engines import Run
from peers.onnx_file import onnx_bytes

__all__ = ["int8_engines"]


def int8_engines(graph: Graph, x: np.ndarray, threads: int) -> dict[str, Run]:
    """Return ONNX Runtime and OpenVINO on a statically quantised (QDQ, per-channel) model; ``x`` calibrates it."""
    import onnxruntime as ort
    import openvino as ov
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class OneImage(CalibrationDataReader):
        def __init__(self) -> None:
            self.images = iter([{graph.inputs[0]: x}])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.images, None)

    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(onnx_bytes(graph))
        quantize_static(
            source,
            target,
            OneImage(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        data = target.read_bytes()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    core = ov.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(data), "CPU", settings).create_infer_request()
    return {
        "ONNX Runtime int8": lambda: session.run(None, {graph.inputs[0]: x})[0],
        "OpenVINO int8": lambda: next(iter(request.infer([x], share_inputs=True).values())),
    }

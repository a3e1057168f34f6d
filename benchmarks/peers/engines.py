"""Ready-to-run engines by name: each is a function without arguments that runs the network once."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

import numpy as np
from edge_sparse.converters.graph import Graph

from peers.onnx_file import onnx_bytes
from peers.tflite_file import tflite_bytes

Run = Callable[[], np.ndarray]


def litert(graph: Graph, x: np.ndarray, threads: int) -> Run:
    """LiteRT, which runs XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=tflite_bytes(graph), num_threads=threads)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    interpreter.set_tensor(source, np.ascontiguousarray(x.transpose(0, 2, 3, 1)))

    def run() -> np.ndarray:
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return run


def onnxruntime(graph: Graph, x: np.ndarray, threads: int) -> Run:
    """ONNX Runtime on the CPU."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = ort.InferenceSession(onnx_bytes(graph), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: x})[0]


def openvino(graph: Graph, x: np.ndarray, threads: int) -> Run:
    """OpenVINO in float32."""
    import openvino as ov

    core = ov.Core()
    model = core.read_model(onnx_bytes(graph))
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run() -> np.ndarray:
        return next(iter(request.infer([x], share_inputs=True).values()))

    return run


ENGINES: dict[str, tuple[str, Callable[[Graph, np.ndarray, int], Run]]] = {
    "LiteRT": ("ai-edge-litert", litert),
    "OpenVINO": ("openvino", openvino),
    "ONNX Runtime": ("onnxruntime", onnxruntime),
}


def versions() -> dict[str, str]:
    """Return the installed version of every engine."""
    return {name: importlib.metadata.version(package) for name, (package, _) in ENGINES.items()}

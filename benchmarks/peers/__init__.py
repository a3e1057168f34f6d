"""Other engines, fed with the same graph: LiteRT (XNNPACK), ONNX Runtime and OpenVINO."""

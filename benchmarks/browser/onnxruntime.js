// onnxruntime-web with its WebAssembly provider: SIMD, one thread, all graph optimisations.
import * as ort from "/peers/node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = "/peers/node_modules/onnxruntime-web/dist/";

/** Returns a function that runs the network on the given input, and returns its output. */
export async function onnxruntime(address, input) {
  const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all", executionMode: "sequential" };
  const session = await ort.InferenceSession.create(`${address}.onnx`, options);
  return async () => {
    const x = new ort.Tensor("float32", input.nchw, [1, 3, input.size, input.size]);
    return (await session.run({ x })).logits.data;
  };
}

export const onnxruntimeVersion = () => ort.env.versions.web;

// tfjs with its WebAssembly backend, at its best: its SIMD build on one thread, fused operations, weights made once.
const PEERS = "/peers/node_modules/@tensorflow";

function script(address) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = address;
    element.onload = resolve;
    element.onerror = () => reject(new Error(`${address} cannot be loaded`));
    document.head.append(element);
  });
}

async function start() {
  await script(`${PEERS}/tfjs/dist/tf.es2017.min.js`);
  await script(`${PEERS}/tfjs-backend-wasm/dist/tf-backend-wasm.es2017.min.js`);
  tf.wasm.setWasmPaths(`${PEERS}/tfjs-backend-wasm/dist/`);
  tf.wasm.setThreadsCount(1);
  tf.enableProdMode();
  await tf.setBackend("wasm");
  const simd = await tf.env().getAsync("WASM_HAS_SIMD_SUPPORT");
  if (tf.getBackend() !== "wasm" || !simd) throw new Error("tfjs does not run its SIMD build");
}

let started;

function apply(layer, x) {
  const { weight: filter, bias, activation, strides, pad, depthwise } = layer;
  if (layer.op === "mean") return tf.mean(x, [1, 2]);
  if (layer.op === "linear") return tf.fused.matMul({ a: x, b: filter, bias, activation });
  const call = depthwise ? tf.fused.depthwiseConv2d : tf.fused.conv2d;
  return call({ x, filter, bias, activation, strides, pad, dataFormat: "NHWC" });
}

/** Returns a function that runs the network on the given input, in its own layout, and returns its output. */
export async function tfjs(address, input) {
  await (started ??= start());
  const layers = await (await fetch(`${address}.json`)).json();
  const weights = new Float32Array(await (await fetch(`${address}.bin`)).arrayBuffer());
  const tensor = ({ offset, shape }) => {
    const length = shape.reduce((product, extent) => product * extent, 1);
    return tf.tensor(weights.subarray(offset, offset + length), shape);
  };
  for (const layer of layers) {
    if (layer.weight) Object.assign(layer, { weight: tensor(layer.weight), bias: tensor(layer.bias) });
  }
  return () =>
    tf.tidy(() => {
      const x = tf.tensor(input.nhwc, [1, input.size, input.size, 3]);
      return layers.reduce((value, layer) => apply(layer, value), x).dataSync();
    });
}

export function tfjsVersion() {
  return tf.version.tfjs;
}

// Rivals by name in one page, and the time of their calls.
const rivals = new Map();
let input;

const engines = {
  tfjs: async () => (await import("./tfjs.js")).tfjs,
  onnxruntime: async () => (await import("./onnxruntime.js")).onnxruntime,
  edge_sparse: async () => (await import("./edge_sparse.js")).edgeSparse,
};

/** The same picture in both layouts, so that no engine has to turn it. */
export async function setInput(address, size) {
  const nchw = new Float32Array(await (await fetch(address)).arrayBuffer());
  const nhwc = new Float32Array(nchw.length);
  const plane = size * size;
  for (let at = 0; at < nchw.length; at++) nhwc[(at % plane) * 3 + Math.floor(at / plane)] = nchw[at];
  input = { nchw, nhwc, size };
}

export async function add(name, engine, address, options) {
  const make = await engines[engine]();
  rivals.set(name, await make(address, input, options));
}

export async function output(name) {
  return Array.from(await rivals.get(name)());
}

/**
 * Milliseconds of a call, several times. Without isolation the page's clock ticks ten times in a millisecond, so every
 * figure is the mean of as many calls as take `span` milliseconds, and the clock is read when it has just ticked.
 */
export async function milliseconds(name, figures, span) {
  const run = rivals.get(name);
  await run();
  const found = [];
  while (found.length < figures) {
    let calls = 0;
    let begin = performance.now();
    for (const before = begin; begin === before; ) begin = performance.now();
    let end;
    do {
      await run();
      calls++;
      end = performance.now();
    } while (end - begin < span);
    found.push((end - begin) / calls);
  }
  return found;
}

/** Until the engines' compilers have done their best. */
export async function warm(name, span) {
  const run = rivals.get(name);
  for (const begin = performance.now(); performance.now() - begin < span; ) await run();
}

export async function versions() {
  const [{ tfjsVersion }, { onnxruntimeVersion }] = await Promise.all([import("./tfjs.js"), import("./onnxruntime.js")]);
  return { tfjs: tfjsVersion(), "onnxruntime-web": onnxruntimeVersion() };
}

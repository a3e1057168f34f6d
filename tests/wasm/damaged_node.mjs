// node damaged_node.mjs DIST FILES LENGTHS.json: opens and uses every file; prints each one's error code, or "ran".
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [dist, files, lengths, wasm] = process.argv.slice(2);
const { Engine } = await import(pathToFileURL(join(dist, "engine.js")).href);
const { EdgeSparseError } = await import(pathToFileURL(join(dist, "errors.js")).href);
const module = await WebAssembly.compile(readFileSync(wasm));
const MAXIMUM_BYTES = 64 << 20;
const ARRAYS = { float32: Float32Array, float16: Uint16Array, int8: Int8Array, uint8: Uint8Array, int32: Int32Array };

/** A file in pieces, as a download brings it: predict is asked after each. */
function load(engine, file) {
  const header = file.subarray(0, 64);
  const length = engine.begin(header);
  let predicted;
  engine.reserve(length);
  for (let at = 0; at < Math.min(file.length, length); at += 997) {
    const end = Math.min(at + 997, file.length, length);
    engine.write(at, file.subarray(at, end));
    predicted ??= engine.predict(end);
  }
  engine.open();
  engine.start();
  return predicted;
}

function use(engine) {
  const info = engine.info();
  const inputs = {};
  for (const { name, dtype, shape } of info.inputs) {
    const size = shape.reduce((product, part) => product * part, 1);
    inputs[name] = new ARRAYS[dtype](size).fill(dtype === "int32" ? 0 : 1);
  }
  engine.run(inputs);
  if (info.image) engine.classify({ data: new Uint8Array(4 * 9 * 5).fill(77), width: 9, height: 5 }, 3);
  if (info.tokenizer) engine.decode(engine.encode("Hello, wörld <|us"));
  if (info.text) {
    engine.generateBegin(Int32Array.of(1, 2), { maxTokens: 6, temperature: 1, seed: 3 });
    for (let count = 0; count < 20 && !engine.generateNext().done; count++);
  }
  engine.profile();
}

async function outcome(file) {
  const engine = await Engine.create(module, { maximumBytes: MAXIMUM_BYTES });
  let stage = "opened";
  try {
    load(engine, file);
    stage = "ran";
    use(engine);
  } catch (error) {
    if (!(error instanceof EdgeSparseError) || error.code === "WASM_FAILED") throw error;
    if (!error.message || !error.hint) throw new Error(`${error.code} says nothing`);
    return stage === "ran" ? `ran: ${error.code}` : error.code;
  } finally {
    engine.dispose();
  }
  return stage;
}

const data = readFileSync(files);
const outcomes = [];
let at = 0;
for (const length of JSON.parse(readFileSync(lengths, "utf8"))) {
  try {
    outcomes.push(await outcome(data.subarray(at, at + length)));
  } catch (error) {
    outcomes.push(`file ${outcomes.length}: ${error.stack}`);
  }
  at += length;
}
globalThis.gc();
console.log(JSON.stringify({ outcomes, resident: process.memoryUsage().rss }));

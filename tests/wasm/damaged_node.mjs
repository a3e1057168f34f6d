// node damaged_node.mjs DIST FILES LENGTHS.json WASM: opens and uses every file; prints each one's error code, or "ran".
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [dist, files, lengths, wasm] = process.argv.slice(2);
const { Session, EdgeSparseError } = await import(pathToFileURL(join(dist, "index.js")).href);
const module = await WebAssembly.compile(readFileSync(wasm));
const MEMORY_LIMIT = 64 << 20;
const PIECE = 997;
const ARRAYS = { float32: Float32Array, float16: Uint16Array, int8: Int8Array, uint8: Uint8Array, int32: Int32Array };

/** A file in pieces, as a download brings it. */
function download(file) {
  let at = 0;
  const pull = (controller) => {
    if (at >= file.length) return controller.close();
    controller.enqueue(file.subarray(at, at + PIECE));
    at += PIECE;
  };
  return new Response(new ReadableStream({ pull }));
}

async function use(session) {
  const { info } = session;
  const inputs = {};
  for (const { name, dtype, shape } of info.inputs) {
    const size = shape.reduce((product, part) => product * part, 1);
    inputs[name] = new ARRAYS[dtype](size).fill(dtype === "int32" ? 0 : 1);
  }
  await session.run(inputs);
  if (info.image) await session.classify({ data: new Uint8Array(4 * 9 * 5).fill(77), width: 9, height: 5 }, { top: 3 });
  if (info.tokenizer) await session.decode(await session.encode("Hello, w\u00f6rld <|us"));
  if (info.text) await session.generate(Int32Array.of(1, 2), { maxTokens: 6, temperature: 1, seed: 3 }).result;
  await session.profile();
}

async function outcome(file) {
  let session;
  try {
    session = await Session.create(download(file), { worker: false, wasm: module, memoryLimit: MEMORY_LIMIT });
    await use(session);
    return "ran";
  } catch (error) {
    if (!(error instanceof EdgeSparseError) || error.code === "WASM_FAILED") throw error;
    if (!error.message || !error.hint) throw new Error(`${error.code} says nothing`);
    return session ? `ran: ${error.code}` : error.code;
  } finally {
    session?.dispose();
  }
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

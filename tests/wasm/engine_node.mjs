// Drives Engine itself in Node.js: arguments are engine.js, a module, a folder of files; prints what it saw as JSON.
import { readFileSync } from "node:fs";

const [enginePath, modulePath, folder] = process.argv.slice(2);
const { Engine } = await import(enginePath);
const module = await WebAssembly.compile(readFileSync(modulePath));
const read = (name) => new Uint8Array(readFileSync(`${folder}/${name}.egs`));

/** What a call throws, as [code, message]. */
function thrown(call) {
  try {
    call();
  } catch (error) {
    return [error.code, error.message];
  }
  return ["NONE", ""];
}

/** An engine with a file, which comes in pieces of a length that divides nothing. */
async function opened(file, options) {
  const engine = await Engine.create(module, options);
  engine.reserve(engine.begin(file.subarray(0, 64)));
  for (let at = 0; at < file.length; at += 1013) engine.write(at, file.subarray(at, at + 1013));
  engine.open();
  return engine;
}

/** From the beginning of a file: when it is known what the session takes. */
async function prediction(file) {
  const engine = await Engine.create(module);
  engine.reserve(engine.begin(file.subarray(0, 64)));
  for (let at = 0; at < file.length; at += 64) {
    engine.write(at, file.subarray(at, at + 64));
    const known = engine.predict(Math.min(at + 64, file.length));
    if (known) return { after: at + 64, ...known };
  }
  return undefined;
}

async function headers(file) {
  const engine = await Engine.create(module);
  const heads = [new Uint8Array(64), file.subarray(0, 20), new TextEncoder().encode("<!doctype html>".padEnd(64))];
  return { length: engine.begin(file.subarray(0, 64)), wrong: heads.map((head) => thrown(() => engine.begin(head))) };
}

function generate(engine, prompt, options) {
  engine.generateBegin(prompt, options);
  const pieces = [];
  for (;;) {
    const { text, done, result } = engine.generateNext();
    if (text) pieces.push(text);
    if (done) return { text: pieces.join(""), ...result };
  }
}

async function memory(file) {
  const engine = await opened(file);
  const seen = [];
  const kinds = [{}, { kvCache: "float32" }, { attention: "delta" }, { context: 40 }, { kvCache: "float16", context: 64 }];
  for (let time = 0; time < 40; time++) {
    engine.start(kinds[time % kinds.length]);
    generate(engine, "ab", { maxTokens: 4 });
    seen.push(engine.info().memoryBytes);
  }
  return { seen, info: engine.start() };
}

async function misuse(file) {
  const engine = await opened(file);
  const found = { notStarted: thrown(() => engine.generateNext()) };
  engine.start();
  found.absent = thrown(() => engine.generateNext());
  found.endAbsent = thrown(() => engine.generateEnd());
  engine.generateBegin("ab", { maxTokens: 9 });
  engine.generateNext();
  found.busy = [
    () => engine.encode("a"), () => engine.read(Int32Array.of(1)), () => engine.generateBegin("a", {}),
    () => engine.run({ ids: Int32Array.of(1), position: Int32Array.of(0) }),
  ].map((call) => thrown(call)[0]);
  found.cancelled = engine.generateEnd().finish;
  found.unknownPlan = thrown(() => engine.start({ plan: "nothing" }));
  // The session before goes on.
  found.text = generate(engine, "ab", { maxTokens: 6, temperature: 0 }).text;
  engine.run({ ids: Int32Array.of(9, 9, 9), position: Int32Array.of(0) });
  found.afterRun = generate(engine, "ab", { maxTokens: 6, temperature: 0 }).text;
  found.options = [
    { seed: -1 }, { maxTokens: 0.5 }, { stop: [""] }, { temperature: -1 }, { topK: -2 },
  ].map((options) => thrown(() => engine.generateBegin("a", options))[0]);
  found.attention = [
    { attention: "none" }, { kvCache: "int4" }, { context: -1 }, { theta: -1, attention: "delta" }, { context: 1 },
  ].map((options) => thrown(() => engine.start(options))[0]);
  engine.dispose();
  found.disposed = thrown(() => engine.info());
  return found;
}

async function trapped(file) {
  const engine = await opened(file);
  engine.start();
  const { now } = performance;
  performance.now = () => {
    throw new RangeError("a trap inside the core");
  };
  const first = thrown(() => generate(engine, "ab", { maxTokens: 2 }));
  performance.now = now;
  const writing = await opened(file);
  writing.start();
  writing.generateBegin("ab", { maxTokens: 40 });
  while (!writing.generateNext().text);
  performance.now = () => {
    throw new RangeError("a trap inside the core");
  };
  const between = thrown(() => writing.generateNext())[0];
  performance.now = now;
  return { first, between, later: [() => engine.encode("a"), () => engine.reset(), () => engine.start()].map((call) => thrown(call)[0]) };
}

async function exhausted(file) {
  const small = await Engine.create(module, { maximumBytes: file.length + 1000 });
  const reserve = thrown(() => small.reserve(file.length + 2000));
  small.reserve(file.length);
  small.write(0, file);
  const open = thrown(() => small.open());
  const engine = await opened(file, { maximumBytes: file.length + (1 << 20) });
  engine.start({ context: 64 });
  const start = thrown(() => engine.start({ context: 1 << 20 }));
  // The session before goes on.
  return { reserve, open, start, text: generate(engine, "ab", { maxTokens: 3, temperature: 0 }).text };
}

const text = read("text");
console.log(
  JSON.stringify({
    headers: await headers(text),
    memory: await memory(text),
    large: (await opened(read("large"))).start(),
    prediction: await prediction(read("large")),
    misuse: await misuse(text),
    trapped: await trapped(text),
    exhausted: await exhausted(text),
  }),
);

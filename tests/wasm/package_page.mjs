// What a page does with the npm package's sources, cache, workers and pictures; every function returns what happened.
import * as package_ from "/edge-sparse/index.js";

const { Session } = package_;
const DIGITS = "/digits.egs";

/** The error of a promise, in words; its value otherwise. */
async function outcome(promise) {
  try {
    return await promise;
  } catch (error) {
    const { name, code, message, hint } = error;
    if (!(error instanceof package_.EdgeSparseError)) return { code: "NOT OURS", message: String(error?.stack) };
    return { name, code, message, hint };
  }
}

function inputOf(session, image) {
  return { [session.info.inputs[0].name]: Float32Array.from(image) };
}

async function scores(session, image) {
  return [...Object.values(await session.run(inputOf(session, image)))[0].data];
}

async function useOnce(source, image, options) {
  const session = await Session.create(source, options);
  const found = { scores: await scores(session, image), cached: session.cached };
  session.dispose();
  return found;
}

/** One after the other: a session from every kind of source. */
export async function sources(image, options) {
  const bytes = await (await fetch(DIGITS)).arrayBuffer();
  const kinds = {
    text: DIGITS,
    url: new URL(DIGITS, location.href),
    buffer: bytes,
    array: new Uint8Array(bytes),
    part: new Uint8Array(new Uint8Array([7, ...new Uint8Array(bytes), 7]).buffer, 1, bytes.byteLength),
    blob: new Blob([bytes]),
    blobAddress: URL.createObjectURL(new Blob([bytes])),
    response: await fetch(DIGITS),
  };
  const found = {};
  for (const [kind, source] of Object.entries(kinds)) found[kind] = await outcome(useOnce(source, image, options));
  return found;
}

/** Create one session; returns its scores, or the error. */
export async function create(address, image, options) {
  return outcome(useOnce(address, image, options));
}

export async function createMany(addresses, image, options) {
  return Promise.all(addresses.map((address) => create(address, image, options)));
}

/** Create one session from a response that is already there. */
export async function createFromResponse(address, image, options) {
  return outcome(useOnce(await fetch(address), image, options));
}

export async function progress(options) {
  const steps = [];
  const session = await Session.create(DIGITS, { ...options, onProgress: (step) => steps.push(step) });
  session.dispose();
  return steps;
}

/** What is kept, before and after some of it is dropped. */
export async function cacheContents(image) {
  const kept = await package_.cachedModels();
  const deleted = [await package_.deleteCachedModel(DIGITS), await package_.deleteCachedModel(DIGITS)];
  const left = await package_.cachedModels();
  await create("/digits.egs?again", image, {});
  await package_.clearModelCache();
  return { kept, deleted, left, cleared: await package_.cachedModels() };
}

/** Put wrong bytes where the model is kept. */
export async function spoilCache(text) {
  const cache = await caches.open("edge-sparse-models");
  await cache.put(DIGITS, new Response(text, { headers: { "content-length": String(text.length) } }));
}

/** The module given in every way that there is. */
export async function modulesGiven(address, image, options) {
  const bytes = await (await fetch(address)).arrayBuffer();
  const given = { address, url: new URL(address, location.href), bytes, array: new Uint8Array(bytes), module: await WebAssembly.compile(bytes) };
  const found = {};
  for (const [kind, wasm] of Object.entries(given)) found[kind] = await create(DIGITS, image, { ...options, wasm });
  return found;
}

/** What is kept after a visit that got no module. */
export async function keptWithoutModule(image, options) {
  const before = await create(DIGITS, image, options);
  const failed = await create(DIGITS, image, { ...options, wasm: "/missing.wasm" });
  return { before, failed, kept: (await package_.cachedModels()).length };
}

/** A worker of the page's own: from a script in a blob. */
export async function ownWorker(image) {
  const script = `import ${JSON.stringify(new URL("/edge-sparse/worker.js", location.href))};`;
  const start = () => new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })), { type: "module" });
  return create(DIGITS, image, { worker: start });
}

/** A worker whose script is not there, and one that cannot be made at all. */
export async function brokenWorkers(image) {
  return {
    missing: await create(DIGITS, image, { worker: () => new Worker("/nothing.js", { type: "module" }) }),
    thrown: await create(DIGITS, image, { worker: () => { throw new Error("no workers today"); } }),
  };
}

function canvasOf(pixels, side) {
  const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
  canvas.getContext("2d").putImageData(new ImageData(Uint8ClampedArray.from(pixels), side, side), 0, 0);
  return canvas;
}

/** The likeliest classes of one picture, given in every way that there is. */
export async function pictures(pixels, side, options) {
  const canvas = canvasOf(pixels, side);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const element = Object.assign(new Image(), { src: URL.createObjectURL(blob) });
  await element.decode();
  const offscreen = new OffscreenCanvas(side, side);
  offscreen.getContext("2d").drawImage(canvas, 0, 0);
  const kinds = {
    pixels: { data: Uint8Array.from(pixels), width: side, height: side },
    imageData: canvas.getContext("2d").getImageData(0, 0, side, side),
    bitmap: await createImageBitmap(canvas),
    blob, element, canvas, offscreen,
    unloaded: new Image(),
  };
  const session = await Session.create(DIGITS, options);
  const found = {};
  for (const [kind, picture] of Object.entries(kinds)) found[kind] = await outcome(session.classify(picture, { top: 2 }));
  session.dispose();
  return found;
}

/** A text in pieces, in one, read twice, left early, aborted. */
export async function texts(options) {
  const session = await Session.create("/text.egs", options);
  const asked = { maxTokens: 30, temperature: 1, seed: 3, roll: true };
  const whole = session.generate("Once", asked);
  const text = await whole.text();
  const result = await whole.result;
  const twice = await outcome(whole.text());
  const left = session.generate("Once", { ...asked, maxTokens: 0 });
  let pieces = 0;
  for await (const piece of left) if (piece && ++pieces === 3) break;
  const leftResult = await left.result;
  const unbegun = session.generate("Once", asked);
  unbegun.stop();
  const unbegunResult = await outcome(unbegun.result);
  const controller = new AbortController();
  const aborted = session.generate("Once", { ...asked, maxTokens: 0, signal: controller.signal });
  const abortedText = outcome((async () => { for await (const _ of aborted) controller.abort(); })());
  const found = { text, result, twice, leftResult, unbegunResult, abortedText: await abortedText, abortedResult: await outcome(aborted.result) };
  session.dispose();
  return { ...found, disposed: await outcome(session.encode("x")) };
}

/** Options that are there but undefined; U+FEFF in front; a profile through a change of attention; room for a context. */
export async function textOptions(options) {
  const session = await Session.create("/text.egs", { ...options, profiling: true });
  const unsaid = Object.fromEntries(["temperature", "topK", "topP", "minP", "repetitionPenalty", "seed", "maxTokens", "stop", "roll"].map((name) => [name, undefined]));
  const texts = [await outcome(session.generate("Once", unsaid).text()), await outcome(session.generate("Once").text())];
  const marked = "\uFEFFab";
  const decoded = await session.decode(await session.encode(marked));
  await session.setAttention({ attention: "delta" });
  await session.generate("Once", { maxTokens: 2 }).text();
  const timed = (await session.profile()).some((step) => step.runs > 0);
  session.dispose();
  return { texts, kept: decoded === marked, timed };
}

/** Create a session within a limit; returns what it takes, or the error. */
export async function bytesOf(address, options) {
  const session = await outcome(Session.create(address, options));
  session.dispose?.();
  return session.code ?? session.info.fileBytes + session.info.sessionBytes;
}

export function features() {
  return package_.features();
}

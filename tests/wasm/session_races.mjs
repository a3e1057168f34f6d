// What a page may do with sessions at awkward moments; every function returns what happened, in words and numbers.
import { Session } from "/edge-sparse/index.js";

const DIGITS = "/digits.egs";
const TEXT = "/text.egs";

async function outcome(promise) {
  try {
    return { value: await promise };
  } catch (error) {
    return { name: error.name, code: error.code };
  }
}

function digitsInput(session, value) {
  const [{ name, shape }] = session.info.inputs;
  return { [name]: new Float32Array(shape.reduce((product, length) => product * length, 1)).fill(value) };
}

async function firstOutput(session, inputs) {
  return Object.values(await session.run(inputs))[0].data;
}

async function collect(generation) {
  let text = "";
  for await (const piece of generation) text += piece;
  return text;
}

/** Many runs at once in two sessions give what they give one by one. */
export async function runsAtOnce(options) {
  const sessions = await Promise.all([Session.create(DIGITS, options), Session.create(DIGITS, options)]);
  const alone = [];
  for (let value = 0; value < 5; value++) alone.push([...(await firstOutput(sessions[0], digitsInput(sessions[0], value)))]);
  const together = await Promise.all(
    Array.from({ length: 10 }, (_, number) => {
      const session = sessions[number % 2];
      return firstOutput(session, digitsInput(session, number % 5));
    }),
  );
  for (const session of sessions) session.dispose();
  return { alone, together: together.map((data) => [...data]) };
}

/** Arrays and files that were handed over are still the caller's. */
export async function buffersStay(options) {
  const file = new Uint8Array(await (await fetch(DIGITS)).arrayBuffer());
  const session = await Session.create(file, options);
  const inputs = digitsInput(session, 0.5);
  await session.run(inputs);
  session.dispose();
  return { file: file.byteLength, input: Object.values(inputs)[0].byteLength };
}

/** Dispose while runs, generation and profiles are under way, and use it afterwards. */
export async function disposeWhileBusy(options) {
  const digits = await Session.create(DIGITS, options);
  const run = outcome(digits.run(digitsInput(digits, 1)));
  digits.dispose();
  digits.dispose();
  const later = await outcome(digits.run(digitsInput(digits, 1)));

  const text = await Session.create(TEXT, options);
  const generation = text.generate("Once", { maxTokens: 40, temperature: 1, seed: 1, roll: true });
  const pieces = generation[Symbol.asyncIterator]();
  await pieces.next();
  text.dispose();
  const result = await outcome(generation.result);
  const rest = await outcome(collect({ [Symbol.asyncIterator]: () => pieces }));
  return { run: await run, later, result, rest };
}

/** Abort a download at every stage; and before, and after. */
export async function abortEverywhere(options) {
  const results = {};
  for (const stage of ["before", "download", "open", "after"]) {
    const controller = new AbortController();
    if (stage === "before") controller.abort();
    const onProgress = (progress) => progress.stage === stage && controller.abort();
    const found = await outcome(Session.create(DIGITS, { ...options, cache: false, signal: controller.signal, onProgress }));
    if (stage === "after") controller.abort();
    if (found.value) {
      results[stage] = { ran: (await outcome(firstOutput(found.value, digitsInput(found.value, 1)))).value?.length };
      found.value.dispose();
    } else {
      results[stage] = found;
    }
  }
  return results;
}

/** Break out of a text, abort another, generate while generating; then the session writes what a fresh one writes. */
export async function interruptedTexts(options) {
  const session = await Session.create(TEXT, options);
  const asked = { maxTokens: 24, temperature: 1, seed: 5 };
  const whole = await collect(session.generate("Once", asked));

  const broken = session.generate("Once", asked);
  let first;
  for await (first of broken) break;
  const brokenResult = await outcome(broken.result);

  const controller = new AbortController();
  const aborted = session.generate("Once", { ...asked, roll: true, maxTokens: 0, signal: controller.signal });
  setTimeout(() => controller.abort(), 50);
  const abortedText = await outcome(collect(aborted));
  const abortedResult = await outcome(aborted.result);

  const one = session.generate("Once", asked);
  const other = session.generate("Once", asked);
  const both = await Promise.all([outcome(collect(one)), outcome(collect(other))]);
  const bothResults = await Promise.all([outcome(one.result), outcome(other.result)]);

  const during = session.generate("Once", asked);
  const encoding = await outcome(session.encode("Once"));
  const duringText = await outcome(collect(during));

  const unread = session.generate("Once", asked);
  const unreadResult = await Promise.race([outcome(unread.result), new Promise((done) => setTimeout(done, 2000, "waits"))]);
  session.reset();
  const again = await outcome(collect(session.generate("Once", asked)));
  session.dispose();
  return {
    whole, first, brokenResult, abortedText, abortedResult, both, bothResults,
    encoding: encoding.value ? [...encoding.value] : encoding, duringText, unreadResult, again,
  };
}

/** Wrong calls of all kinds; returns the code of each. */
export async function wrongCalls(options) {
  const digits = await Session.create(DIGITS, options);
  const text = await Session.create(TEXT, options);
  const right = digitsInput(digits, 1);
  const [name] = Object.keys(right);
  const calls = {
    noInputs: () => digits.run({}),
    unknownInput: () => digits.run({ ...right, nonsense: new Float32Array(1) }),
    shortInput: () => digits.run({ [name]: new Float32Array(3) }),
    wrongType: () => digits.run({ [name]: new Int32Array(right[name].length) }),
    wrongShape: () => digits.run({ [name]: { data: right[name], shape: [1], dtype: "float32" } }),
    withoutShape: () => digits.run({ [name]: { data: right[name] } }),
    nullInputs: () => digits.run(null),
    plainArray: () => digits.run({ [name]: [1, 2, 3] }),
    encodeWithoutText: () => digits.encode("x"),
    generateWithoutText: () => collect(digits.generate("x")),
    smallPicture: () => digits.classify({ data: new Uint8Array(4), width: 3, height: 3 }),
    noPicture: () => digits.classify({ data: new Uint8Array(0), width: 0, height: 0 }),
    noClasses: () => digits.classify({ data: new Uint8Array(4), width: 1, height: 1 }, { top: -1 }),
    nullPicture: () => digits.classify(null),
    textPicture: () => digits.classify("cat.jpg"),
    plainPicture: () => digits.classify({ data: [1, 2, 3, 4], width: 1, height: 1 }),
    pictureOfNothing: () => digits.classify({ data: new Uint8Array(4), width: Number.NaN, height: 1 }),
    textIsNoClassifier: () => text.classify({ data: new Uint8Array(4), width: 1, height: 1 }),
    notAPicture: () => digits.classify(new Blob(["not a picture"])),
    noPrompt: () => collect(text.generate(undefined)),
    numberPrompt: () => collect(text.generate(7)),
    arrayPrompt: () => collect(text.generate([1, 2, 3])),
    tokenRange: () => collect(text.generate(Int32Array.of(1, 100000))),
    encodeNothing: () => text.encode(undefined),
    decodeNothing: () => text.decode(undefined),
    decodeArray: () => text.decode([1, 2]),
    readNothing: () => text.read(new Int32Array(0)),
    readTooMuch: () => text.read(new Int32Array(100000)),
    rewindBackwards: () => text.rewind(-1),
    negativeTemperature: () => collect(text.generate("x", { temperature: -1 })),
    notANumber: () => collect(text.generate("x", { temperature: Number.NaN })),
    topP: () => collect(text.generate("x", { topP: 2 })),
    fractionalTokens: () => collect(text.generate("x", { maxTokens: 1.5 })),
    negativeSeed: () => collect(text.generate("x", { seed: -1, maxTokens: 2 })),
    manyStops: () => collect(text.generate("x", { stop: Array(99).fill("x") })),
    longStop: () => collect(text.generate("x", { stop: ["x".repeat(10000)] })),
    stopIsNoList: () => collect(text.generate("x", { stop: "x" })),
    stopIsNoText: () => collect(text.generate("x", { stop: [7] })),
    stopWithZero: () => collect(text.generate("x", { stop: ["a\0b"] })),
    textAsTemperature: () => collect(text.generate("x", { temperature: "hot" })),
    textAsSeed: () => collect(text.generate("x", { seed: "7" })),
    emptyStop: () => collect(text.generate("x", { stop: [""] })),
    longPrompt: () => collect(text.generate("x".repeat(100000))),
    unknownPlan: () => Session.create(DIGITS, { ...options, plan: "nonsense" }),
    unknownVariant: () => Session.create(DIGITS, { ...options, variant: "nonsense", wasm: undefined }),
    unknownAttention: () => Session.create(TEXT, { ...options, attention: "nonsense" }),
    largeContext: () => Session.create(TEXT, { ...options, context: 100000000 }),
    negativeTheta: () => Session.create(TEXT, { ...options, attention: "delta", theta: -1 }),
    nanTheta: () => Session.create(TEXT, { ...options, attention: "delta", theta: Number.NaN }),
    largeWindow: () => Session.create(TEXT, { ...options, attention: "delta", window: 5 }),
    fractionalContext: () => Session.create(TEXT, { ...options, context: 1.5 }),
    unknownStorage: () => Session.create(TEXT, { ...options, kvCache: "int4" }),
    attentionOfDigits: () => Session.create(DIGITS, { ...options, attention: "delta" }),
    setUnknownAttention: () => text.setAttention({ attention: "nonsense" }),
    setLargeContext: () => text.setAttention({ context: 100000000 }),
    negativeLimit: () => Session.create(TEXT, { ...options, memoryLimit: -1 }),
    smallLimit: () => Session.create(TEXT, { ...options, memoryLimit: 1000 }),
    failingWorker: () => Session.create(TEXT, { ...options, worker: () => { throw new Error("no"); } }),
    nullWorker: () => Session.create(TEXT, { ...options, worker: () => null }),
    missingWorker: () => Session.create(TEXT, { ...options, worker: () => new Worker("/missing.js", { type: "module" }) }),
    noWasm: () => Session.create(TEXT, { ...options, wasm: "/missing.wasm" }),
    otherWasm: () => Session.create(TEXT, { ...options, wasm: new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]) }),
    usedResponse: async () => {
      const response = await fetch(DIGITS);
      await response.arrayBuffer();
      return Session.create(response, options);
    },
    lockedResponse: async () => {
      const response = await fetch(DIGITS);
      response.body.getReader();
      return Session.create(response, options);
    },
    noSource: () => Session.create(undefined, options),
    numberSource: () => Session.create(7, options),
    badUrl: () => Session.create("http://[", options),
    badWasm: () => Session.create(DIGITS, { ...options, wasm: new Uint8Array([1, 2, 3]) }),
    badHash: () => Session.create(DIGITS, { ...options, sha256: "nonsense" }),
  };
  const results = {};
  for (const [what, call] of Object.entries(calls)) {
    try {
      const value = await call();
      value?.dispose?.();
      results[what] = "NONE";
    } catch (error) {
      results[what] = error.name === "EdgeSparseError" && error.message && error.hint ? error.code : String(error.stack);
    }
  }
  const stillRuns = (await firstOutput(digits, right)).length;
  const stillWrites = (await collect(text.generate("Once", { maxTokens: 3, temperature: 1 }))).length;
  digits.dispose();
  text.dispose();
  return { results, stillRuns, stillWrites };
}

/** A single run of the network overwrites what a text left behind; the next text does not build on it. */
export async function runBetweenTexts(options) {
  const session = await Session.create(TEXT, { ...options, kvCache: "float32" });
  const texts = [];
  for (let turn = 0; turn < 3; turn++) {
    texts.push(await collect(session.generate("Once", { maxTokens: 20, temperature: 1, seed: 5 })));
    await session.run({ ids: Int32Array.of(9, 8, 7), position: Int32Array.of(turn) });
  }
  session.dispose();
  return texts;
}

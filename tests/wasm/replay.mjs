// Runs cases through Session, in Node.js and in pages alike. Arrays and files travel as base64; Python judges.

const ARRAYS = {
  float32: Float32Array,
  float16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int32: Int32Array,
};

export function bytesOf(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function textOf(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

function tensorOf({ data, shape, dtype }) {
  return { data: new ARRAYS[dtype](bytesOf(data).buffer), shape, dtype };
}

function mapped(object, change) {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, change(value)]));
}

/** Run every plan of every file on its inputs, in turn; returns outputs in the same order. */
export async function replayRuns(Session, files, options) {
  const results = [];
  for (const { file, plans } of files) {
    for (const { plan, runs } of plans) {
      const session = await Session.create(bytesOf(file), { ...options, plan });
      for (const inputs of runs) {
        const outputs = await session.run(mapped(inputs, tensorOf));
        results.push(mapped(outputs, ({ data, shape, dtype }) => ({ data: textOf(data), shape, dtype })));
      }
      session.dispose();
    }
  }
  return results;
}

/** Open every file; returns what each throws. */
export async function replayErrors(Session, files, options) {
  const results = [];
  for (const file of files) {
    try {
      const session = await Session.create(bytesOf(file), options);
      session.dispose();
      results.push({ code: "NONE" });
    } catch (error) {
      const { name, code, message, hint } = error;
      results.push({ name, code, message, hint });
    }
  }
  return results;
}

/** Encode and decode; returns tokens and shown texts. */
export async function replayTokens(Session, files, options) {
  const results = [];
  for (const { file, texts } of files) {
    const session = await Session.create(bytesOf(file), options);
    for (const text of texts) {
      const tokens = await session.encode(text);
      results.push({ tokens: [...tokens], shown: await session.decode(tokens) });
    }
    session.dispose();
  }
  return results;
}

/** Generate from prompts that follow one another in one session; returns texts, pieces and results. */
export async function replayTexts(Session, files, options) {
  const results = [];
  for (const { file, attention, prompts } of files) {
    const session = await Session.create(bytesOf(file), { ...options, ...attention });
    for (const { prompt, options: given } of prompts) {
      const seed = given.seed === undefined ? {} : { seed: BigInt(given.seed) };
      const generation = session.generate(Array.isArray(prompt) ? Int32Array.from(prompt) : prompt, { ...given, ...seed });
      const pieces = [];
      for await (const piece of generation) pieces.push(piece);
      results.push({ pieces, ...(await generation.result) });
    }
    session.dispose();
  }
  return results;
}

/** Classify pictures, given as RGBA pixels of one size; returns the most likely classes of each. */
export async function replayPixels(Session, { file, width, height, pixels }, options) {
  const session = await Session.create(bytesOf(file), options);
  const results = [];
  for (const picture of pixels) results.push(await session.classify({ data: bytesOf(picture), width, height }, { top: 3 }));
  session.dispose();
  return results;
}

/** Classify pictures that the browser decodes itself. */
export async function replayPictures(Session, { file, pictures }, options) {
  const session = await Session.create(bytesOf(file), options);
  const results = [];
  for (const picture of pictures) results.push(await session.classify(new Blob([bytesOf(picture)]), { top: 1 }));
  session.dispose();
  return results;
}

/** Read tokens part by part; returns the logits after each. */
export async function replayReads(Session, { file, parts }, options) {
  const session = await Session.create(bytesOf(file), options);
  const results = [];
  for (const part of parts) {
    const logits = await session.read(Int32Array.from(part));
    results.push({ data: textOf(logits), shape: [logits.length], dtype: "float32" });
  }
  session.dispose();
  return results;
}

// Sessions as a page makes and drops them, for the tests of memory.
import { Session } from "/edge-sparse/index.js";

const kept = [];

/** Create, run and dispose sessions one after the other; with `leak` they are kept instead, so that tests can fail. */
export async function cycle(url, options, count, leak) {
  const file = await (await fetch(url)).arrayBuffer();
  for (let round = 0; round < count; round++) {
    const session = await Session.create(file.slice(0), options);
    const inputs = {};
    for (const { name, shape } of session.info.inputs) {
      inputs[name] = new Float32Array(shape.reduce((product, length) => product * length, 1)).fill(round);
    }
    const outputs = await session.run(inputs);
    if (!Object.values(outputs).every(({ data }) => data.every(Number.isFinite))) throw new Error("not finite");
    if (leak) kept.push(session);
    else session.dispose();
  }
}

/** Create a session from a URL and use it once; returns what it says of its memory. */
export async function load(url, options) {
  const session = await Session.create(url, options);
  const { fileBytes, sessionBytes, memoryBytes } = session.info;
  const logits = await session.run({ ids: Int32Array.of(1, 2, 3), position: Int32Array.of(0) }).then(
    (outputs) => Object.values(outputs)[0].data,
  );
  session.dispose();
  return { fileBytes, sessionBytes, memoryBytes, finite: logits.every(Number.isFinite) };
}

/** Try to create a session; returns the error's code and words. */
export async function refused(url, options) {
  try {
    const session = await Session.create(url, options);
    session.dispose();
    return { code: "NONE" };
  } catch (error) {
    return { code: error.code, message: error.message, hint: error.hint };
  }
}

// Decoders by name in one page, each in its own worker, and the time of tokens that follow a prompt.
import { Session } from "/package/index.js";

import { llama } from "./wllama.js";

const rivals = new Map();

const engines = { edge_sparse: edgeSparse, wllama: llama };

export async function add(name, engine, address, options) {
  rivals.set(name, await engines[engine](address, options));
}

export async function remove(name) {
  await rivals.get(name).close();
  rivals.delete(name);
}

/** Milliseconds per token of a greedy continuation. */
export function decode(name, depth, tokens) {
  return rivals.get(name).decode(depth, tokens);
}

/** Milliseconds and share of the whole time by op, of single tokens at a depth. */
export function profile(name, depth, tokens) {
  return rivals.get(name).profile(depth, tokens);
}

function likeliest(logits) {
  let best = 0;
  for (let token = 1; token < logits.length; token++) if (logits[token] > logits[best]) best = token;
  return best;
}

/** A session that reads tokens one by one; copying logits out of the worker and choosing counts. */
async function edgeSparse(address, options) {
  const session = await Session.create(address, { cache: false, ...options });

  async function fill(depth) {
    // Of delta attention only some places can be gone back to.
    const kept = await session.rewind(depth);
    const rest = Int32Array.from({ length: depth - kept }, (_, number) => 1000 + kept + number);
    return rest.length ? likeliest(await session.read(rest)) : 1000;
  }

  async function decode(depth, tokens) {
    let token = await fill(depth);
    const begin = performance.now();
    for (let number = 0; number < tokens; number++) token = likeliest(await session.read(Int32Array.of(token)));
    return (performance.now() - begin) / tokens;
  }

  async function profile(depth, tokens) {
    await fill(depth);
    await session.setProfiling(true);
    await decode(depth, tokens);
    const found = {};
    for (const { op, milliseconds } of await session.profile()) found[op] = (found[op] ?? 0) + milliseconds / tokens;
    await session.setProfiling(false);
    return found;
  }

  return { decode, profile, close: () => session.dispose() };
}

// Runs limit.c: the best of several spells.
const PAGE = 65536;
const SPELLS = 12;
const SPELL_MS = 25;

async function instance(name, pages = 0) {
  const { instance } = await WebAssembly.instantiateStreaming(fetch(`/limit/${name}.wasm`));
  if (pages) instance.exports.memory.grow(pages);
  return instance.exports;
}

/** Calls per millisecond of a function that takes a count, in its best spell. */
function rate(run) {
  const timed = (count) => {
    const begin = performance.now();
    run(count);
    return performance.now() - begin;
  };
  let count = 1;
  while (timed(count) < SPELL_MS) count *= 2;
  return count / Math.min(...Array.from({ length: SPELLS }, () => timed(count)));
}

/** GFLOP/s of multiply-adds with four lanes: the better of two loops, one with a product's loads, one without any. */
export async function multiplyAdds(name) {
  const exports = await instance(name, 1);
  const numbers = exports.memory.buffer.byteLength - PAGE;
  new Float32Array(exports.memory.buffer, numbers).fill(0.5);
  const loaded = rate((calls) => exports.multiply_add(numbers, calls)) * exports.operations_per_call();
  const chains = rate((calls) => exports.multiply_add_chains(calls, 1)) * exports.operations_per_chain_call();
  return Math.max(loaded, chains) / 1e6;
}

/** GB/s read from so many bytes, again and again. */
export async function reads(bytes) {
  const exports = await instance("limit", Math.ceil(bytes / PAGE));
  const begin = exports.memory.buffer.byteLength - Math.ceil(bytes / PAGE) * PAGE;
  // Pages that were never written are all the same page.
  new Uint8Array(exports.memory.buffer, begin).fill(1);
  return (rate((times) => exports.read(begin, bytes, times)) * bytes) / 1e6;
}

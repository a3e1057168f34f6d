// Uses a module's heap at random and checks every block; prints how large the memory became.
import { readFileSync } from "node:fs";

const module = await WebAssembly.compile(readFileSync(process.argv[2]));
const { exports } = await WebAssembly.instantiate(module, { edge_sparse: { now: () => 0 } });
exports._initialize();

let state = 1;
/** A number below `limit`. */
function random(limit) {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * limit);
}

function check(condition, words) {
  if (!condition) throw new Error(words);
}

const whole = () => new Uint8Array(exports.memory.buffer);
const memory = exports.memory_create(2 ** 31);
const blocks = [];
let live = 0;
let most = 0;

function take() {
  const size = random(4) ? random(3000) : random(300000);
  const zeroed = random(2) === 1;
  const place = (zeroed ? exports.memory_take(memory, size) : exports.allocate(size)) >>> 0;
  check(place && place % 64 === 0, `${size} bytes at ${place}`);
  check(!zeroed || whole().subarray(place, place + size).every((byte) => byte === 0), "memory that is not zero");
  const mark = random(255) + 1;
  whole().fill(mark, place, place + size);
  blocks.push({ place, size, mark });
  live += size;
  most = Math.max(most, live);
}

function give() {
  const [{ place, size, mark }] = blocks.splice(random(blocks.length), 1);
  check(whole().subarray(place, place + size).every((byte) => byte === mark), `a block of ${size} bytes was overwritten`);
  exports.release(place);
  live -= size;
}

for (let step = 0; step < 6000; step++) {
  if (blocks.length && random(200) < blocks.length) give();
  else take();
}
while (blocks.length) give();
const afterwards = exports.memory.buffer.byteLength;
// Everything is one free block again.
const large = exports.allocate(most);
check(large !== 0 && exports.memory.buffer.byteLength === afterwards, "free blocks were not merged");
exports.release(large);
check(exports.allocate(2 ** 32 - 1) === 0 && exports.allocate(2 ** 32 - 2 ** 17) === 0, "more than there can be");
const exact = 100 * 2 ** 20 + 12345;
check(exports.allocate(exact) !== 0, "a large block");
console.log(JSON.stringify({ most, afterwards, exact, withExact: exports.memory.buffer.byteLength }));

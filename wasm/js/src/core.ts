// One instance of the WebAssembly core: memory, strings, statuses, traps.
import { EdgeSparseError } from "./errors.js";
import type { Address, Exports } from "./exports.js";
import type { StatusCode } from "./status.js";

const NUMBER_BYTES = 8;
/** Numbers of a reply; words follow them (wasm/src/exports.h). */
const REPLY_NUMBERS = 24;

/** Keeps U+FEFF: it is a character like others. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
/** Addresses have 32 bits; larger numbers would wrap around. */
const LARGEST_LENGTH = 2 ** 32 - 2 ** 16;
const encoder = new TextEncoder();

export class Core {
  readonly exports: Exports;
  readonly #reply: Address;
  #broken: EdgeSparseError | undefined;

  private constructor(exports: Exports) {
    this.exports = exports;
    this.#reply = exports.allocate(exports.reply_bytes());
  }

  static async create(module: WebAssembly.Module): Promise<Core> {
    const imports = { edge_sparse: { now: () => performance.now() } };
    let instance: WebAssembly.Instance;
    try {
      instance = await WebAssembly.instantiate(module, imports);
    } catch (error) {
      const hint = "close other pages, or pass the package's own WebAssembly file";
      throw new EdgeSparseError("WASM_FAILED", `the core cannot be started: ${String(error)}`, hint, { cause: error });
    }
    const exports = instance.exports as unknown as Exports;
    exports._initialize();
    return new Core(exports);
  }

  /** Bytes at an address; the view dies with the next call that may allocate. */
  bytes(address: Address, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.exports.memory.buffer as ArrayBuffer, address >>> 0, length);
  }

  /** Text at an address. */
  text(address: Address, length: number): string {
    return decoder.decode(this.bytes(address, length));
  }

  /** A string of the core. */
  string(address: Address): string {
    const all = new Uint8Array(this.exports.memory.buffer, address >>> 0);
    return decoder.decode(all.subarray(0, all.indexOf(0)));
  }

  number(place: number): number {
    return new DataView(this.exports.memory.buffer).getFloat64((this.#reply >>> 0) + place * NUMBER_BYTES, true);
  }

  numbers(count: number, first = 0): number[] {
    return Array.from({ length: count }, (_, place) => this.number(first + place));
  }

  /** Call the core; a failing status becomes an error with the reply's words, or those given. */
  call(work: (exports: Exports, reply: Address) => number, words?: () => string): void {
    this.bytes(this.#reply + REPLY_NUMBERS * NUMBER_BYTES, 1)[0] = 0;
    const status = this.guarded((exports) => work(exports, this.#reply));
    if (status) throw this.#error(status, words?.() || this.string(this.#reply + REPLY_NUMBERS * NUMBER_BYTES));
  }

  /** Whatever calls the core goes through here: after a trap its memory means nothing any more. */
  guarded<Value>(work: (exports: Exports, reply: Address) => Value): Value {
    if (this.#broken) throw this.#broken;
    try {
      return work(this.exports, this.#reply);
    } catch (error) {
      if (error instanceof EdgeSparseError) throw error;
      const hint = "report it with the file; this session is lost, create another one";
      this.#broken = new EdgeSparseError("WASM_FAILED", `the core stopped: ${String(error)}`, hint, { cause: error });
      throw this.#broken;
    }
  }

  #error(status: number, words: string): EdgeSparseError {
    const code = this.string(this.exports.status_name(status)) as StatusCode;
    const hint = this.string(this.exports.status_hint(status));
    return new EdgeSparseError(code, words || code.toLowerCase().replaceAll("_", " "), hint || "call again");
  }

  memoryExhausted(bytes: number, what: string): EdgeSparseError {
    const now = this.exports.memory.buffer.byteLength;
    const message = `no memory for ${bytes} bytes of ${what}; ${now} bytes are in use`;
    return new EdgeSparseError("MEMORY_EXHAUSTED", message, "close other pages, or use a smaller model or context");
  }

  /** Memory for arguments and results; whoever asked for it releases it. */
  allocate(length: number, what: string): Address {
    const place = length < LARGEST_LENGTH ? this.guarded((exports) => exports.allocate(length)) >>> 0 : 0;
    if (!place) throw this.memoryExhausted(length, what);
    return place;
  }

  /** Call with memory for each of these lengths, which is given back afterwards. */
  withMemory<Value>(lengths: readonly number[], work: (...places: Address[]) => Value): Value {
    const places: Address[] = [];
    try {
      for (const length of lengths) places.push(this.allocate(length, "arguments"));
      return work(...places);
    } finally {
      if (!this.#broken) for (const place of places) this.exports.release(place);
    }
  }

  /** Call with copies of some bytes in the core's memory. */
  withBytes<Value>(parts: readonly Uint8Array[], work: (...places: Address[]) => Value): Value {
    return this.withMemory(
      parts.map((part) => part.byteLength),
      (...places) => {
        parts.forEach((part, number) => this.bytes(places[number]!, part.byteLength).set(part));
        return work(...places);
      },
    );
  }
}

/** UTF-8. Lone surrogates become U+FFFD. */
export function utf8(text: string): Uint8Array {
  if (typeof text !== "string") throw new EdgeSparseError("OPTION_RANGE", `${String(text)} is no text`, "pass a string");
  return encoder.encode(text);
}

/** UTF-8 that ends in a zero byte. */
export function zeroTerminated(text: string): Uint8Array {
  return encoder.encode(`${text}\0`);
}

// The language model of an engine: tokens, single reads, generation in steps.
import { utf8, zeroTerminated } from "./core.js";
import type { Core } from "./core.js";
import { EdgeSparseError } from "./errors.js";
import type { Address } from "./exports.js";
import { numberOf } from "./tensors.js";
import type { AttentionOptions, FinishReason, GenerateOptions, GenerationResult, SamplingOptions } from "./types.js";

const FINISHES: readonly FinishReason[] = ["end", "length", "stop", "context", "cancelled"];
const MODES = ["exact", "delta"];
const DELTA = { theta: 0.6, window: 0.05 };
const LARGEST_COUNT = 2 ** 32 - 1;
const LARGEST_SEED = 2n ** 64n - 1n;

function outOfRange(name: string, value: unknown, wanted: string): EdgeSparseError {
  return new EdgeSparseError("OPTION_RANGE", `${name} is ${String(value)}`, `pass ${wanted}`);
}

function count(name: string, value: number): number {
  if (Number.isInteger(value) && value >= 0 && value <= LARGEST_COUNT) return value;
  throw outOfRange(name, value, "a whole number from 0");
}

function seedOf(value: number | bigint): bigint {
  if (typeof value === "bigint" ? value >= 0n && value <= LARGEST_SEED : Number.isSafeInteger(value) && value >= 0) {
    return BigInt(value);
  }
  throw outOfRange("seed", value, "a whole number from 0, as bigint beyond 2^53");
}

/** A language model with one way to attend. It owns its session. */
export class Language {
  readonly session: Address;
  readonly vocabulary: number;
  readonly context: number;
  readonly tokenizer: boolean;
  readonly sampling: Required<SamplingOptions>;
  #core: Core;
  #text: Address;
  #generating = false;
  /** Comes after the text that came with it. */
  #failure: unknown;
  #stops: Address[] = [];

  constructor(core: Core, model: Address, options: AttentionOptions) {
    const { attention = "exact", theta = DELTA.theta, window = DELTA.window, sinks = 0, kvCache, context = 0 } = options;
    const mode = MODES.indexOf(attention);
    if (mode < 0) throw outOfRange("attention", attention, '"exact" or "delta"');
    const cache = numberOf(kvCache);
    if (cache < 0) throw outOfRange("kvCache", kvCache, '"float32", "float16" or "int8"');
    this.#core = core;
    core.call((exports, reply) =>
      exports.text_create(model, count("context", context), mode, cache, theta, window, count("sinks", sinks), reply),
    );
    this.#text = core.number(0);
    this.session = core.number(1);
    this.vocabulary = core.exports.text_vocabulary(this.#text);
    this.context = core.exports.text_context(this.#text);
    core.exports.text_defaults(this.#text, core.guarded((_, reply) => reply));
    const [temperature, topK, topP, minP, repetitionPenalty] = core.numbers(5, 2) as [number, number, number, number, number];
    this.sampling = { temperature, topK, topP, minP, repetitionPenalty, seed: 0 };
    this.tokenizer = this.#hasTokenizer();
  }

  #words = (): string => this.#core.string(this.#core.exports.text_error(this.#text));

  #hasTokenizer(): boolean {
    try {
      this.encode("");
      return true;
    } catch (error) {
      if (error instanceof EdgeSparseError && error.code === "TOKENIZER_MISSING") return false;
      throw error;
    }
  }

  close(): void {
    this.#core.exports.text_close(this.#text);
  }

  skipped(): number {
    return this.#core.guarded((exports) => exports.text_skipped(this.#text));
  }

  encode(text: string): Int32Array {
    const bytes = utf8(text);
    const attempt = (capacity: number): Int32Array | number =>
      this.#core.withBytes([bytes, new Uint8Array(4 * capacity)], (place, tokens) => {
        let found = 0;
        try {
          this.#core.call((exports, reply) => exports.text_encode(this.#text, place, bytes.length, tokens, capacity, reply), this.#words);
        } catch (error) {
          found = this.#core.number(0);
          if (!(error instanceof EdgeSparseError) || error.code !== "ARGUMENT_RANGE" || found <= capacity) throw error;
          return found;
        }
        return this.#numbersAt(tokens, this.#core.number(0));
      });
    // A token is at least a byte, but for those that a tokenizer puts in front.
    const first = attempt(bytes.length + 4);
    return typeof first === "number" ? (attempt(first) as Int32Array) : first;
  }

  #numbersAt(place: Address, length: number): Int32Array {
    const bytes = this.#core.bytes(place, 4 * length).slice();
    return new Int32Array(bytes.buffer);
  }

  decode(tokens: Int32Array): string {
    const given = bytesOf(tokens);
    const attempt = (capacity: number): string | number =>
      this.#core.withMemory([given.byteLength, capacity], (place, text) => {
        this.#core.bytes(place, given.byteLength).set(given);
        try {
          this.#core.call((exports, reply) => exports.text_decode(this.#text, place, tokens.length, text, capacity, reply), this.#words);
        } catch (error) {
          const found = this.#core.number(0);
          if (!(error instanceof EdgeSparseError) || error.code !== "ARGUMENT_RANGE" || found <= capacity) throw error;
          return found;
        }
        return this.#core.text(text, this.#core.number(0));
      });
    const first = attempt(16 * tokens.length + 64);
    return typeof first === "number" ? (attempt(first) as string) : first;
  }

  read(tokens: Int32Array): Float32Array {
    const given = bytesOf(tokens);
    return this.#core.withBytes([given], (place) => {
      this.#core.call((exports, reply) => exports.text_read(this.#text, place, tokens.length, reply), this.#words);
      const logits = this.#core.bytes(this.#core.number(0), 4 * this.vocabulary).slice();
      return new Float32Array(logits.buffer);
    });
  }

  rewind(tokens: number): number {
    return this.#core.guarded((exports) => exports.text_rewind(this.#text, count("tokens", tokens)));
  }

  /** Let nothing build on what was read before; not while it generates. */
  forget(): void {
    if (this.#generating) throw new EdgeSparseError("SESSION_BUSY", "the session is generating", "wait for its end, or stop it");
    this.rewind(0);
  }

  begin(prompt: string | Int32Array, options: GenerateOptions): void {
    const { sampling } = this;
    const { temperature = sampling.temperature, topK = sampling.topK, topP = sampling.topP, minP = sampling.minP } = options;
    const { repetitionPenalty = sampling.repetitionPenalty, seed = sampling.seed } = options;
    const { maxTokens = 0, stop = [], roll = false } = options;
    const areTokens = typeof prompt !== "string";
    const bytes = areTokens ? bytesOf(prompt) : utf8(prompt);
    const words = stopTexts(stop);
    // Stop texts are read until the end.
    this.#stops = [...words, new Uint8Array(4 * words.length)].map((part) => this.#keep(part));
    const addresses = this.#stops.at(-1)!;
    const view = new DataView(this.#core.exports.memory.buffer);
    words.forEach((_, number) => view.setUint32(addresses + 4 * number, this.#stops[number]!, true));
    try {
      this.#core.withBytes([bytes], (place) =>
        this.#core.call(
          (exports) =>
            exports.text_begin(
              this.#text, areTokens ? 1 : 0, place, areTokens ? prompt.length : bytes.length, temperature, count("topK", topK), topP, minP,
              repetitionPenalty, seedOf(seed), count("maxTokens", maxTokens), addresses, words.length, roll ? 1 : 0,
            ),
          this.#words,
        ),
      );
      this.#generating = true;
    } finally {
      if (!this.#generating) this.#releaseStops();
    }
  }

  #keep(bytes: Uint8Array): Address {
    const place = this.#core.allocate(bytes.length, "stop texts");
    this.#core.bytes(place, bytes.length).set(bytes);
    return place;
  }

  #releaseStops(): void {
    for (const place of this.#stops) this.#core.exports.release(place);
    this.#stops = [];
  }

  next(): { text: string; done: boolean; result?: GenerationResult } {
    let done = false;
    let text = "";
    try {
      if (this.#failure !== undefined) throw this.#failure;
      try {
        this.#core.call((exports, reply) => exports.text_next(this.#text, reply), this.#words);
      } finally {
        const [place, length, last] = this.#core.numbers(3) as [number, number, number];
        // Text that is shown never ends inside a character.
        text = length ? this.#core.text(place, length) : "";
        done = last !== 0;
      }
    } catch (error) {
      // After a trap, the text is that of the call before.
      if (text && this.#failure === undefined && (error as EdgeSparseError).code !== "WASM_FAILED") {
        this.#failure = error;
        return { text, done: false };
      }
      if (this.#generating) this.end();
      throw error;
    }
    return done ? { text, done, result: this.end() } : { text, done };
  }

  end(): GenerationResult {
    this.#generating = false;
    this.#failure = undefined;
    this.#core.call((exports, reply) => exports.text_end(this.#text, reply), this.#words);
    const [finish, promptTokens, reusedTokens, generatedTokens, firstTokenSeconds, decodeSeconds] = this.#core.numbers(6) as [
      number, number, number, number, number, number,
    ];
    this.#releaseStops();
    const tokensPerSecond = generatedTokens > 1 && decodeSeconds > 0 ? (generatedTokens - 1) / decodeSeconds : 0;
    const skipped = this.skipped();
    return {
      finish: FINISHES[finish]!, promptTokens, reusedTokens, generatedTokens, firstTokenSeconds, decodeSeconds, tokensPerSecond, skipped,
    };
  }
}

/** Zero bytes would cut a text short. */
function stopTexts(stop: readonly string[]): Uint8Array[] {
  if (Array.isArray(stop) && stop.every((text) => typeof text === "string" && !text.includes("\0"))) return stop.map(zeroTerminated);
  throw new EdgeSparseError("STOP_TEXT", `stop is ${JSON.stringify(stop)}`, "pass a list of strings without zero characters");
}

function bytesOf(tokens: Int32Array): Uint8Array {
  if (!(tokens instanceof Int32Array)) throw outOfRange("tokens", typeof tokens, "an Int32Array");
  return new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
}

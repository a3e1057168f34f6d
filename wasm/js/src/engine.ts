// One model in one instance of the core, without network, worker or page: everything here happens at once.
import { Core, zeroTerminated } from "./core.js";
import { EdgeSparseError } from "./errors.js";
import type { Address } from "./exports.js";
import { Language } from "./language.js";
import { checkInputs, dtypeOf, elementType, memoryShape } from "./tensors.js";
import type {
  AttentionOptions, Classification, GenerateOptions, GenerationResult, ModelInfo, Pixels, Port, StepProfile, Tensor, TensorData,
} from "./types.js";

export interface StartOptions extends AttentionOptions {
  readonly plan?: string;
  readonly profiling?: boolean;
}

const DEFAULT_MAXIMUM = 2 ** 31;
/** WebAssembly's addresses have 32 bits, and the core itself takes some. */
const LARGEST_MAXIMUM = 2 ** 32 - 2 ** 20;
const TEXT_PLAN = "generate";
const SAMPLING = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0 };
const ATTENTION = ["attention", "theta", "window", "sinks", "kvCache", "context"] as const;

function names(list: (number: number) => string | undefined): string[] {
  const found: string[] = [];
  for (let name = list(0); name !== undefined; name = list(found.length)) found.push(name);
  return found;
}

export class Engine {
  #core: Core | undefined;
  #memory: Address;
  #file: Address = 0;
  #fileBytes = 0;
  #written = 0;
  #headBytes = 0;
  #model: Address = 0;
  #session: Address = 0;
  #language: Language | undefined;
  #started: StartOptions = {};
  #plans: string[] = [];
  #labels: string[] = [];
  #inputs: Port[] = [];
  #outputs: Port[] = [];
  /** Arrays of the ports, made when they are first needed. */
  #arrays: Address[] = [];
  #hasImage = false;

  private constructor(core: Core, maximumBytes: number) {
    this.#core = core;
    this.#memory = core.guarded((exports) => exports.memory_create(Math.min(maximumBytes, LARGEST_MAXIMUM)));
  }

  /** An engine without a model. `maximumBytes` limits file, model and session together. */
  static async create(module: WebAssembly.Module, { maximumBytes = DEFAULT_MAXIMUM } = {}): Promise<Engine> {
    return new Engine(await Core.create(module), maximumBytes);
  }

  get #alive(): Core {
    if (this.#core) return this.#core;
    throw new EdgeSparseError("SESSION_DISPOSED", "the engine was disposed", "create another one");
  }

  /** Check the first 64 bytes of a file; returns its length. */
  begin(header: Uint8Array): number {
    const core = this.#alive;
    return core.withBytes([header], (place) => {
      core.call((exports, reply) => exports.model_expect(place, header.length, reply));
      return core.number(0);
    });
  }

  /** Make room for a file. */
  reserve(length: number): void {
    const core = this.#alive;
    const place = length < LARGEST_MAXIMUM ? core.guarded((exports) => exports.memory_take(this.#memory, length)) : 0;
    if (!place) throw core.memoryExhausted(length, "the file");
    this.#file = place >>> 0;
    this.#fileBytes = length;
  }

  write(offset: number, bytes: Uint8Array): void {
    if (offset + bytes.length > this.#fileBytes) {
      throw new EdgeSparseError("FILE_TRAILING", `more than the ${this.#fileBytes} bytes of the file`, "reserve what begin returns");
    }
    this.#alive.bytes(this.#file + offset, bytes.length).set(bytes);
    this.#written = Math.max(this.#written, offset + bytes.length);
  }

  /** A part of the file that was written; the view dies with the next call. */
  fileBytes(from: number, to: number): Uint8Array {
    return this.#alive.bytes(this.#file + from, to - from);
  }

  /** What a session needs besides the file, as soon as enough of the file is there. */
  predict(available: number): { sessionBytes: number } | undefined {
    if (available < this.#headBytes) return undefined;
    const core = this.#alive;
    core.call((exports, reply) => exports.model_expect(this.#file, available, reply));
    this.#headBytes = core.number(1);
    return this.#headBytes <= available ? { sessionBytes: core.number(2) } : undefined;
  }

  /** Check the whole file; a session can be started afterwards. */
  open(): void {
    const core = this.#alive;
    core.call((exports, reply) => exports.model_open(this.#memory, this.#file, this.#written, reply));
    this.#model = core.number(0);
    const string = (address: Address) => (address ? core.string(address) : undefined);
    this.#plans = names((plan) => string(core.exports.model_plan_name(this.#model, plan)));
    this.#labels = names((label) => string(core.exports.model_label(this.#model, label)));
    this.#hasImage = core.withBytes([new Uint8Array(4)], (pixel) => core.exports.image_scratch_bytes(this.#model, pixel, 1, 1) > 0);
  }

  /** Begin a session, in place of the one that there is; if that fails, the earlier one begins anew. */
  start(given: StartOptions = {}): ModelInfo {
    // What is profiled goes on to be.
    const options = { profiling: this.#started.profiling ?? false, ...given };
    const earlier = this.#session ? this.#started : undefined;
    this.#close();
    try {
      this.#begin(options);
    } catch (error) {
      if (earlier) this.#begin(earlier);
      throw error;
    }
    this.#started = options;
    return this.info();
  }

  #begin(options: StartOptions): void {
    const core = this.#alive;
    this.#language = this.#languageOf(options);
    if (this.#language) this.#session = this.#language.session;
    else {
      core.withBytes([zeroTerminated(options.plan ?? "")], (plan) =>
        core.call((exports, reply) => exports.session_create(this.#model, plan, reply)),
      );
      this.#session = core.number(0);
    }
    core.call((exports, reply) => (exports.session_port_counts(this.#session, reply), 0));
    const [inputs, outputs] = core.numbers(2) as [number, number];
    const ports = Array.from({ length: inputs + outputs }, (_, number) => this.#port(number));
    this.#inputs = ports.slice(0, inputs);
    this.#outputs = ports.slice(inputs);
    if (options.profiling) this.setProfiling(true);
  }

  #languageOf(options: StartOptions): Language | undefined {
    const asked = ATTENTION.some((name) => options[name] !== undefined);
    const wanted = options.plan === undefined ? asked || this.#plans.includes(TEXT_PLAN) : options.plan === TEXT_PLAN;
    if (!wanted) return undefined;
    try {
      return new Language(this.#alive, this.#model, options);
    } catch (error) {
      // Another kind of network may call a plan the same.
      if (!asked && error instanceof EdgeSparseError && error.code === "NO_LANGUAGE_MODEL") return undefined;
      throw error;
    }
  }

  #port(number: number): Port {
    const core = this.#alive;
    core.call((exports, reply) => exports.session_port(this.#session, number, reply), this.#words);
    const [name, dtype, rank, , nhwc, symbolic] = core.numbers(6) as [number, number, number, number, number, number];
    const shape = core.numbers(rank, 6);
    return { name: core.string(name), dtype: dtypeOf(dtype), shape, nhwc: nhwc !== 0, symbolic: symbolic !== 0 };
  }

  #words = (): string => this.#alive.string(this.#alive.exports.session_error(this.#session));

  #close(): void {
    const core = this.#alive;
    for (const array of this.#arrays) core.exports.release(array);
    this.#arrays = [];
    if (this.#language) this.#language.close();
    else if (this.#session) core.exports.session_close(this.#session);
    this.#language = undefined;
    this.#session = 0;
  }

  info(): ModelInfo {
    const core = this.#alive;
    return {
      plans: this.#plans,
      labels: this.#labels,
      image: this.#hasImage,
      text: this.#language !== undefined,
      tokenizer: this.#language?.tokenizer ?? false,
      inputs: this.#inputs,
      outputs: this.#outputs,
      fileBytes: this.#fileBytes,
      sessionBytes: core.exports.memory_used(this.#memory) - this.#fileBytes,
      memoryBytes: core.exports.memory.buffer.byteLength,
      vocabulary: this.#language?.vocabulary ?? 0,
      context: this.#language?.context ?? 0,
      sampling: this.#language?.sampling ?? SAMPLING,
    };
  }

  #array(number: number, bytes: number): Address {
    return (this.#arrays[number] ??= this.#alive.allocate(bytes, "inputs and outputs"));
  }

  #bind(number: number, port: Port, rows: number | undefined): Address {
    const core = this.#alive;
    const element = elementType(port.dtype).bytes;
    const size = (shape: readonly number[]) => shape.reduce((product, length) => product * length, element);
    const place = this.#array(number, size(port.shape));
    core.call((exports) => exports.session_bind(this.#session, number, place, size(memoryShape(port, rows))), this.#words);
    return place;
  }

  /** Run the network once; arrays alone have the shape of their input. */
  run(given: Record<string, Tensor | TensorData>): Record<string, Tensor> {
    const core = this.#alive;
    const tensors = checkInputs(this.#inputs, given);
    const rows = tensors.find((_, number) => this.#inputs[number]!.symbolic)?.shape[0];
    // It overwrites stored keys, so that nothing generated later may build on what was read before.
    this.#language?.forget();
    tensors.forEach(({ data, shape }, number) => {
      const port = this.#inputs[number]!;
      const place = this.#bind(number, port, port.symbolic ? shape[0] : undefined);
      core.bytes(place, data.byteLength).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    });
    return this.#outputsOfRun(rows);
  }

  #outputsOfRun(rows: number | undefined): Record<string, Tensor> {
    const core = this.#alive;
    const places = this.#outputs.map((port, number) => this.#bind(this.#inputs.length + number, port, rows));
    core.call((exports) => exports.session_run(this.#session), this.#words);
    const results = this.#outputs.map((port, number): [string, Tensor] => {
      const shape = memoryShape(port, rows);
      const type = elementType(port.dtype);
      const length = shape.reduce((product, part) => product * part, type.bytes);
      const data = new type.array(core.bytes(places[number]!, length).slice().buffer);
      return [port.name, { data, shape, dtype: port.dtype }];
    });
    return Object.fromEntries(results);
  }

  #preprocess(pixels: Pixels): Address {
    const core = this.#alive;
    const { data, width, height } = pixels;
    if (data.length !== 4 * width * height) {
      const message = `${data.length} bytes are not ${width} x ${height} pixels of four`;
      throw new EdgeSparseError("IMAGE_TYPE", message, "pass RGBA pixels of 8 bits");
    }
    const port = this.#inputs[0]!;
    const place = this.#bind(0, port, undefined);
    const bytes = port.shape.reduce((product, length) => product * length, elementType(port.dtype).bytes);
    core.withBytes([new Uint8Array(data.buffer, data.byteOffset, data.byteLength)], (picture) => {
      const scratch = core.guarded((exports) => exports.image_scratch_bytes(this.#model, picture, width, height));
      core.withMemory([scratch], (spare) =>
        core.call((exports) => exports.image_preprocess(this.#model, picture, width, height, spare, scratch, place, bytes)),
      );
    });
    return place;
  }

  /** The first input for a picture, as the file says. */
  preprocess(pixels: Pixels): Float32Array {
    const place = this.#preprocess(pixels);
    const length = this.#inputs[0]!.shape.reduce((product, part) => product * part, 4);
    return new Float32Array(this.#alive.bytes(place, length).slice().buffer);
  }

  /** The likeliest classes of a picture. */
  classify(pixels: Pixels, top = 5): Classification[] {
    this.#preprocess(pixels);
    const [scores] = Object.values(this.#outputsOfRun(undefined));
    const values = Array.from(scores!.data as Float32Array);
    const probabilities = this.#alive.exports.session_ends_in_softmax(this.#session) ? values : softmax(values);
    const order = probabilities.map((_, index) => index).sort((a, b) => probabilities[b]! - probabilities[a]! || a - b);
    return order.slice(0, top).map((index) => ({
      index,
      label: this.#labels[index] ?? String(index),
      probability: probabilities[index]!,
    }));
  }

  get #text(): Language {
    if (this.#language) return this.#language;
    throw new EdgeSparseError("NO_LANGUAGE_MODEL", "this is no language model", "load one, or call run or classify");
  }

  encode(text: string): Int32Array {
    return this.#text.encode(text);
  }

  decode(tokens: Int32Array): string {
    return this.#text.decode(tokens);
  }

  /** Read tokens behind those read before; returns the logits of the last. */
  read(tokens: Int32Array): Float32Array {
    return this.#text.read(tokens);
  }

  rewind(tokens: number): number {
    return this.#text.rewind(tokens);
  }

  /** Set up a generation; nothing is computed yet. */
  generateBegin(prompt: string | Int32Array, options: GenerateOptions): void {
    this.#text.begin(prompt, options);
  }

  /** At most one chunk of the prompt, or one token. */
  generateNext(): { text: string; done: boolean; result?: GenerationResult } {
    return this.#text.next();
  }

  /** Stop before the end. */
  generateEnd(): GenerationResult {
    return this.#text.end();
  }

  reset(): void {
    this.#alive.guarded((exports) => exports.session_reset(this.#session));
  }

  setProfiling(on: boolean): void {
    this.#started = { ...this.#started, profiling: on };
    this.#alive.guarded((exports) => exports.session_set_profiling(this.#session, on ? 1 : 0));
  }

  profile(): StepProfile[] {
    const core = this.#alive;
    const steps = core.guarded((exports) => exports.session_step_count(this.#session));
    return Array.from({ length: steps }, (_, number) => {
      core.call((exports, reply) => exports.session_step(this.#session, number, reply), this.#words);
      const [step, op, kernel, runs, total, least, density] = core.numbers(7) as [number, number, number, number, number, number, number];
      const profile = { step: core.string(step), op: core.string(op), kernel: core.string(kernel), runs, milliseconds: total / 1e6, millisecondsMin: least / 1e6 };
      return density < 0 ? profile : { ...profile, density };
    });
  }

  /** Give the instance back, and with it all memory. */
  dispose(): void {
    this.#core = undefined;
  }
}

function softmax(values: readonly number[]): number[] {
  const largest = values.reduce((most, value) => Math.max(most, value), -Infinity);
  const powers = values.map((value) => Math.exp(value - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

// One loaded model, as people use it.
/// <reference lib="esnext.disposable" preserve="true" />
import { aborted, disposed, EdgeSparseError, edgeSparseError } from "./errors.js";
import { Generation } from "./generation.js";
import { pixelsOf } from "./images.js";
import type { Picture } from "./images.js";
import type { Progress } from "./loading.js";
import { LocalRunner } from "./local_runner.js";
import { moduleOf } from "./modules.js";
import type { WasmSource } from "./modules.js";
import type { InputMap, Loaded, LoadOptions, Runner, TensorMap } from "./runner.js";
import { addressOf, openBytes } from "./sources.js";
import type { ModelSource } from "./sources.js";
import type { AttentionOptions, Classification, GenerateOptions, ModelInfo, StepProfile, Variant } from "./types.js";
import { defaultWorker, WorkerRunner } from "./worker_runner.js";

export interface SessionOptions extends AttentionOptions {
  /** Told how far creating is. */
  readonly onProgress?: (progress: Progress) => void;
  /** Aborts creating; afterwards it has no effect. */
  readonly signal?: AbortSignal;
  /** Of the whole file, in hexadecimal digits: anything else is refused. */
  readonly sha256?: string;
  /** Keep files from addresses in the Cache API; default true where there is one. */
  readonly cache?: boolean;
  /** Run in a worker (default where there are workers), in one of your own, or on this thread. */
  readonly worker?: boolean | (() => Worker);
  /** The WebAssembly, if not from beside the package's scripts. */
  readonly wasm?: WasmSource;
  readonly variant?: Variant;
  /** Most bytes of file and session together; default 1 GiB. */
  readonly memoryLimit?: number;
  /** Default: the plan that generates text, or the first. */
  readonly plan?: string;
  /** Take the time of every step from the start. */
  readonly profiling?: boolean;
}

const MEMORY_LIMIT = 2 ** 30;
const TOP = 5;

function loadOptions(options: SessionOptions): LoadOptions {
  const { onProgress, signal, worker, wasm, variant, memoryLimit = MEMORY_LIMIT, cache = true, ...rest } = options;
  if (!(memoryLimit > 0 && memoryLimit <= 2 ** 32)) {
    throw new EdgeSparseError("OPTION_RANGE", `memoryLimit is ${memoryLimit}`, "pass a number of bytes up to 4 GiB");
  }
  if (rest.sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(rest.sha256)) {
    throw new EdgeSparseError("OPTION_RANGE", `sha256 is "${rest.sha256}"`, "pass 64 hexadecimal digits");
  }
  return { ...rest, memoryLimit, cache };
}

function runnerOf(worker: SessionOptions["worker"]): Runner {
  // Node.js has workers of another kind; there the caller's thread is as good.
  const wanted = worker ?? typeof Worker === "function";
  if (!wanted) return new LocalRunner(0);
  return new WorkerRunner(typeof wanted === "function" ? wanted : defaultWorker);
}

/** A model that is loaded and ready; one call at a time runs, others wait for their turn. */
export class Session {
  /** Whether the browser keeps the file, so that the next visit downloads nothing. */
  readonly cached: boolean;
  #info: ModelInfo;
  #runner: Runner;
  #turn: Promise<unknown> = Promise.resolve();
  #disposed = false;

  private constructor(runner: Runner, loaded: Loaded) {
    this.#runner = runner;
    this.#info = loaded.info;
    this.cached = loaded.cached;
  }

  /**
   * Load a model from an address or from bytes.
   *
   * The file streams into WebAssembly memory, is checked wholly, and refused with an `EdgeSparseError` otherwise.
   */
  static async create(source: ModelSource, options: SessionOptions = {}): Promise<Session> {
    const { onProgress = () => undefined, signal, worker, wasm, variant = "simd" } = options;
    if (signal?.aborted) throw aborted();
    const given = loadOptions(options);
    const from = addressOf(source) ?? openBytes(source as Exclude<ModelSource, string | URL>);
    const runner = runnerOf(worker);
    try {
      const module = moduleOf(variant, wasm);
      // Runners may await it late; without this, browsers would report an unhandled failure before.
      module.catch(() => undefined);
      return new Session(runner, await runner.load(from, module, given, onProgress, signal));
    } catch (error) {
      runner.dispose();
      throw edgeSparseError(error);
    }
  }

  /** What the file says of itself, and how much memory it takes. */
  get info(): ModelInfo {
    return this.#info;
  }

  /** Run the network once on inputs by name; arrays alone have the shape of the input. */
  run(inputs: InputMap): Promise<TensorMap> {
    return this.#next(() => this.#runner.call("run", inputs));
  }

  /** The likeliest classes of a picture, scaled, cropped and normalised as the file says. */
  async classify(picture: Picture, { top = TOP }: { top?: number } = {}): Promise<Classification[]> {
    if (!(top >= 1)) throw new EdgeSparseError("OPTION_RANGE", `top is ${top}`, "ask for at least one");
    const pixels = await pixelsOf(picture);
    // ImageData and its like lose their getters on the way to a worker.
    const { data, width, height } = pixels;
    return this.#next(() => this.#runner.call("classify", { data, width, height }, top));
  }

  /** Write a text behind a prompt. */
  generate(prompt: string | Int32Array, options: GenerateOptions = {}): Generation {
    const { signal, ...rest } = options;
    const generation = new Generation((onPiece, stop) =>
      this.#next(async () => {
        if (signal?.aborted) throw aborted();
        const result = await this.#runner.generate(prompt, rest, onPiece, stop);
        if (signal?.aborted && result.finish === "cancelled") throw aborted();
        return result;
      }),
    );
    const stop = () => generation.stop();
    signal?.addEventListener("abort", stop);
    const forget = () => signal?.removeEventListener("abort", stop);
    generation.result.then(forget, forget);
    return generation;
  }

  encode(text: string): Promise<Int32Array> {
    return this.#next(() => this.#runner.call("encode", text));
  }

  decode(tokens: Int32Array): Promise<string> {
    return this.#next(() => this.#runner.call("decode", tokens));
  }

  /** Read tokens behind those read before; returns the logits of the last one. */
  read(tokens: Int32Array): Promise<Float32Array> {
    return this.#next(() => this.#runner.call("read", tokens));
  }

  /** Keep only the first tokens of what was read; returns how many are kept. */
  rewind(tokens: number): Promise<number> {
    return this.#next(() => this.#runner.call("rewind", tokens));
  }

  /** Change how a language model attends; what was read is forgotten, nothing is loaded again. */
  async setAttention(options: AttentionOptions): Promise<ModelInfo> {
    this.#info = await this.#next(() => this.#runner.call("setAttention", options));
    return this.#info;
  }

  /** Forget all state: what a language model has read. */
  reset(): Promise<void> {
    return this.#next(() => this.#runner.call("reset"));
  }

  /** What ran for every step and how long it took, since profiling was switched on. */
  profile(): Promise<StepProfile[]> {
    return this.#next(() => this.#runner.call("profile"));
  }

  setProfiling(on: boolean): Promise<void> {
    return this.#next(() => this.#runner.call("setProfiling", on));
  }

  /** Give all memory back. What is under way fails with SESSION_DISPOSED. */
  dispose(): void {
    this.#disposed = true;
    this.#runner.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Begin when all earlier calls have ended. */
  #next<Value>(work: () => Promise<Value>): Promise<Value> {
    const turn = this.#turn.then(async () => {
      if (this.#disposed) throw disposed();
      try {
        return await work();
      } catch (error) {
        throw edgeSparseError(error);
      }
    });
    // A failed call does not keep the next one from running.
    this.#turn = turn.catch(() => undefined);
    return turn;
  }
}

// Runs a session on the thread that it is called on, with breaks for the thread's other work.
import { Breaks } from "./breaks.js";
import { deleteCachedModel, findCached, keepInCache } from "./cache.js";
import { Engine } from "./engine.js";
import { aborted, disposed, EdgeSparseError } from "./errors.js";
import { checkMemory, checkSession, receive } from "./loading.js";
import type { LoadRules, Progress } from "./loading.js";
import type { Calls, CallName, Loaded, LoadOptions, Runner } from "./runner.js";
import { openAddress } from "./sources.js";
import type { ByteStream } from "./sources.js";
import type { AttentionOptions, GenerateOptions, GenerationResult, ModelInfo } from "./types.js";

export class LocalRunner implements Runner {
  readonly #stretch: number;
  #engine: Engine | undefined;
  #disposed = false;

  /** `stretch`: milliseconds of writing without a break; 0: a break after every token. */
  constructor(stretch: number) {
    this.#stretch = stretch;
  }

  async load(
    source: URL | ByteStream,
    module: Promise<WebAssembly.Module>,
    options: LoadOptions,
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<Loaded> {
    const rules: LoadRules = { ...options, onProgress, ...(signal ? { signal } : {}) };
    const { engine, cached, bytes } =
      source instanceof URL
        ? await this.#loadAddress(source, module, options, rules)
        : { ...(await this.#loadStream(source, module, options, rules)), cached: false };
    if (this.#disposed) engine.dispose();
    this.#check();
    const info = engine.start(options);
    if (options.context !== undefined) checkMemory(bytes, info.sessionBytes, options.memoryLimit);
    this.#engine = engine;
    onProgress({ stage: "ready", loaded: bytes, total: bytes });
    return { info, cached };
  }

  async #loadStream(
    source: ByteStream | Promise<ByteStream>,
    module: Promise<WebAssembly.Module>,
    options: LoadOptions,
    rules: LoadRules,
  ): Promise<{ engine: Engine; bytes: number }> {
    const [opened, compiled] = await Promise.all([source, module]).catch((error: unknown) => {
      dropped(source);
      throw error;
    });
    const engine = await Engine.create(compiled, { maximumBytes: roomFor(options.memoryLimit) });
    try {
      const bytes = await receive(engine, opened, rules);
      rules.onProgress({ stage: "open", loaded: bytes, total: bytes });
      if (rules.signal?.aborted) throw aborted();
      this.#check();
      engine.open();
      checkSession(engine, bytes, rules);
      return { engine, bytes };
    } catch (error) {
      engine.dispose();
      throw error;
    }
  }

  async #loadAddress(address: URL, module: Promise<WebAssembly.Module>, options: LoadOptions, rules: LoadRules) {
    const kept = options.cache ? await findCached(address.href) : undefined;
    if (kept?.body) {
      try {
        const source: ByteStream = { stream: kept.body, name: `the kept copy of ${address.href}` };
        return { ...(await this.#loadStream(source, module, options, rules)), cached: true };
      } catch (error) {
        // What was kept is broken or not what was asked for: the network has the last word.
        if (!(error instanceof EdgeSparseError) || !spoiled(error)) throw error;
        await deleteCachedModel(address);
      }
    }
    const loaded = await this.#loadStream(openAddress(address, rules.signal), module, options, rules);
    const view = (from: number, to: number) => loaded.engine.fileBytes(from, to);
    const cached = options.cache && (await keepInCache(address.href, loaded.bytes, view));
    if (rules.signal?.aborted) throw aborted();
    return { ...loaded, cached };
  }

  #check(): void {
    if (this.#disposed) throw disposed();
  }

  #ready(): Engine {
    this.#check();
    if (!this.#engine) throw new EdgeSparseError("SESSION_BUSY", "the session is not loaded yet", "wait for Session.create");
    return this.#engine;
  }

  call<Name extends CallName>(name: Name, ...given: Parameters<Calls[Name]>): Promise<ReturnType<Calls[Name]>> {
    return new Promise((resolve) => {
      const engine = this.#ready();
      const calls: Calls = {
        run: (inputs) => engine.run(inputs),
        classify: (pixels, top) => engine.classify(pixels, top),
        encode: (text) => engine.encode(text),
        decode: (tokens) => engine.decode(tokens),
        read: (tokens) => engine.read(tokens),
        rewind: (tokens) => engine.rewind(tokens),
        setAttention: (options: AttentionOptions): ModelInfo => engine.start(options),
        reset: () => engine.reset(),
        profile: () => engine.profile(),
        setProfiling: (on) => engine.setProfiling(on),
      };
      const wanted = calls[name] as (...values: Parameters<Calls[Name]>) => ReturnType<Calls[Name]>;
      resolve(wanted(...given));
    });
  }

  async generate(
    prompt: string | Int32Array,
    options: GenerateOptions,
    onPiece: (text: string) => void,
    signal: AbortSignal,
  ): Promise<GenerationResult> {
    this.#ready().generateBegin(prompt, options);
    const breaks = new Breaks();
    let since = performance.now();
    try {
      while (!signal.aborted) {
        const { text, done, result } = this.#ready().generateNext();
        if (text) onPiece(text);
        if (done && result) return result;
        if (performance.now() - since < this.#stretch) continue;
        await breaks.take();
        since = performance.now();
      }
      return this.#ready().generateEnd();
    } finally {
      breaks.close();
    }
  }

  dispose(): void {
    this.#disposed = true;
    this.#engine?.dispose();
    this.#engine = undefined;
  }
}

/** A download that nobody will read ends; if it failed by itself, that is not what went wrong first. */
function dropped(source: ByteStream | Promise<ByteStream>): void {
  Promise.resolve(source).then(({ stream }) => stream.cancel()).catch(() => undefined);
}

/** Tables of kernels and the tokenizer come on top of what the file predicts. */
function roomFor(memoryLimit: number): number {
  return memoryLimit + (32 << 20);
}

/** Whether the fault may be the copy's: it is not where the module, memory or the caller's patience were missing. */
function spoiled(error: EdgeSparseError): boolean {
  return !["ABORTED", "MEMORY_EXHAUSTED", "SESSION_DISPOSED", "WASM_FAILED"].includes(error.code);
}

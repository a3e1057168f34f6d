// The page's side: a runner whose work a worker does, so that pages stay responsive.
import { aborted, disposed, EdgeSparseError, errorFrom, plainError } from "./errors.js";
import type { Progress } from "./loading.js";
import type { Answer, Request } from "./messages.js";
import type { Calls, CallName, Loaded, LoadOptions, Runner } from "./runner.js";
import { lengthOf } from "./sources.js";
import type { ByteStream } from "./sources.js";
import type { GenerateOptions, GenerationResult } from "./types.js";

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly onAnswer: (answer: Answer) => void;
}

/** Pieces of a file are sent in this size: large against a message, small against memory. */
const PIECE = 1 << 20;

/** The worker beside this file; a literal, so that bundlers see it. */
export function defaultWorker(): Worker {
  return new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
}

export class WorkerRunner implements Runner {
  #worker: Worker;
  #pending = new Map<number, Pending>();
  #next = 1;
  #failure: EdgeSparseError | undefined;

  constructor(start: () => Worker) {
    const hint = "serve worker.js of the package from the page's own origin, or pass worker: false";
    try {
      this.#worker = start();
      if (typeof this.#worker?.postMessage !== "function") throw new TypeError("the function returned no worker");
    } catch (error) {
      throw new EdgeSparseError("WORKER_FAILED", `no worker could be started: ${String(error)}`, hint, { cause: error });
    }
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => this.#receive(data);
    this.#worker.onmessageerror = () => this.#fail(new EdgeSparseError("WORKER_FAILED", "an answer of the worker was lost", hint));
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const words = event.message || "the worker's script cannot be loaded";
      this.#fail(new EdgeSparseError("WORKER_FAILED", words, hint));
    };
  }

  load(
    source: URL | ByteStream,
    module: Promise<WebAssembly.Module>,
    options: LoadOptions,
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<Loaded> {
    module.then(
      (compiled) => this.#post({ kind: "module", module: compiled }),
      (error: unknown) => this.#post({ kind: "noModule", error: plainError(error) }),
    );
    const sender = source instanceof URL ? undefined : new PieceSender(source, (request, transfer) => this.#post(request, transfer));
    const place = source instanceof URL ? { url: source.href, name: source.href } : { name: source.name, ...lengthOf(source) };
    const loading = this.#ask<Loaded>(
      (id) => ({ kind: "load", id, ...place, options }),
      (answer) => {
        if (answer.kind === "progress") onProgress(answer.progress);
        else if (answer.kind === "more") void sender?.send();
      },
    );
    // The worker may be deep in the checks of a large file; nothing of it is wanted any more.
    const abort = () => this.#fail(aborted());
    signal?.addEventListener("abort", abort);
    return loading.finally(() => {
      signal?.removeEventListener("abort", abort);
      sender?.stop();
    });
  }

  call<Name extends CallName>(name: Name, ...given: Parameters<Calls[Name]>): Promise<ReturnType<Calls[Name]>> {
    return this.#ask((id) => ({ kind: "call", id, name, given }), () => undefined);
  }

  generate(
    prompt: string | Int32Array,
    options: GenerateOptions,
    onPiece: (text: string) => void,
    signal: AbortSignal,
  ): Promise<GenerationResult> {
    return this.#ask(
      (id) => ({ kind: "generate", id, prompt, options }),
      (answer) => void (answer.kind === "text" && onPiece(answer.text)),
      signal,
    );
  }

  dispose(): void {
    this.#fail(disposed());
  }

  #post(request: Request, transfer: Transferable[] = []): void {
    if (!this.#failure) this.#worker.postMessage(request, transfer);
  }

  #ask<Value>(request: (id: number) => Request, onAnswer: (answer: Answer) => void, signal?: AbortSignal): Promise<Value> {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = this.#next++;
    const abort = () => this.#post({ kind: "abort", id });
    signal?.addEventListener("abort", abort);
    const answered = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, onAnswer });
      try {
        this.#post(request(id));
        // The answer is the same wherever the work is done: a text of which nothing is wanted ends, cancelled.
        if (signal?.aborted) abort();
      } catch (error) {
        // Arguments that cannot be sent, functions for example.
        this.#pending.delete(id);
        reject(new EdgeSparseError("SOURCE_TYPE", String(error), "pass plain values and arrays", { cause: error }));
      }
    });
    return answered.finally(() => signal?.removeEventListener("abort", abort)) as Promise<Value>;
  }

  #receive(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    if (answer.kind === "result" || answer.kind === "error") this.#pending.delete(answer.id);
    if (answer.kind === "result") pending?.resolve(answer.value);
    else if (answer.kind === "error") pending?.reject(errorFrom(answer.error));
    else pending?.onAnswer(answer);
  }

  #fail(error: EdgeSparseError): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#worker.terminate();
    for (const pending of this.#pending.values()) pending.reject(error);
    this.#pending.clear();
  }
}

/** Reads a stream and sends a piece whenever the worker has room. */
class PieceSender {
  #reader: ReadableStreamDefaultReader<Uint8Array>;
  #post: (request: Request, transfer: Transferable[]) => void;
  #rest = new Uint8Array(0);
  #stopped = false;

  constructor(source: ByteStream, post: (request: Request, transfer: Transferable[]) => void) {
    this.#reader = source.stream.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    this.#post = post;
  }

  async send(): Promise<void> {
    try {
      if (!this.#rest.length) {
        const { done, value } = await this.#reader.read();
        if (done) return this.#post({ kind: "piece" }, []);
        this.#rest = value as Uint8Array<ArrayBuffer>;
      }
      // A copy: the bytes stay the caller's.
      const bytes = this.#rest.slice(0, PIECE);
      this.#rest = this.#rest.subarray(bytes.length);
      this.#post({ kind: "piece", bytes }, [bytes.buffer]);
    } catch (error) {
      if (!this.#stopped) this.#post({ kind: "noPiece", reason: String(error) }, []);
    }
  }

  stop(): void {
    this.#stopped = true;
    // The rest is not wanted; a source that fails now matters to nobody.
    void this.#reader.cancel().catch(() => undefined);
  }
}

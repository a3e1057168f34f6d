// Streams a file into an engine's memory, checked as it comes: header, size, sections, length, hash.
import type { Engine } from "./engine.js";
import { aborted, EdgeSparseError } from "./errors.js";
import { PieceReader } from "./piece_reader.js";
import { Sha256 } from "./sha256.js";
import type { ByteStream } from "./sources.js";

/** How far creating a session is. */
export interface Progress {
  readonly stage: "download" | "open" | "ready";
  /** Bytes. */
  readonly loaded: number;
  /** Bytes of the whole file, 0 while unknown. */
  readonly total: number;
}

export interface LoadRules {
  /** Most bytes of file and session together. */
  readonly memoryLimit: number;
  /** Of a language model, if not the file's: then the file does not tell what the session needs. */
  readonly context?: number;
  /** Of the whole file, in hexadecimal digits. */
  readonly sha256?: string;
  readonly signal?: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}

const HEADER = 64;
const FETCH_AGAIN = "download or convert it again";

function megabytes(bytes: number): string {
  return `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}

/** Refuse what exceeds a limit. */
export function checkMemory(fileBytes: number, sessionBytes: number, limit: number): void {
  if (fileBytes + sessionBytes <= limit) return;
  const session = sessionBytes ? ` and the session ${megabytes(sessionBytes)}` : "";
  const message = `the file takes ${megabytes(fileBytes)}${session}, the limit is ${megabytes(limit)}`;
  throw new EdgeSparseError("MEMORY_EXHAUSTED", message, "raise memoryLimit, or use a smaller model or context");
}

function checkPrediction(fileBytes: number, sessionBytes: number, { memoryLimit, context }: LoadRules): void {
  checkMemory(fileBytes, context === undefined ? sessionBytes : 0, memoryLimit);
}

function truncated(loaded: number, total: number, name: string): EdgeSparseError {
  const message = `${name} ended after ${loaded} of ${total} bytes: the download is incomplete`;
  return new EdgeSparseError("FILE_TRUNCATED", message, FETCH_AGAIN);
}

/** The length that a header promises. */
function expectedLength(engine: Engine, head: Uint8Array, name: string): number {
  // Servers that answer every address with the same page, or an error without an error status, are common.
  if (/^\s*</.test(String.fromCharCode(...head))) {
    const hint = "check the address, and that the server has the model there";
    throw new EdgeSparseError("FILE_MAGIC", `${name} is a web page, no .egs file`, hint);
  }
  return engine.begin(head);
}

/** Takes pieces of any length and puts them where they belong. */
class Receiver {
  #engine: Engine;
  #source: ByteStream;
  #rules: LoadRules;
  #head = new Uint8Array(HEADER);
  #hash: Sha256 | undefined;
  #predicted = false;
  loaded = 0;
  total = 0;

  constructor(engine: Engine, source: ByteStream, rules: LoadRules) {
    this.#engine = engine;
    this.#source = source;
    this.#rules = rules;
    this.#hash = rules.sha256 === undefined ? undefined : new Sha256();
  }

  take(bytes: Uint8Array): void {
    this.#hash?.update(bytes);
    let rest = bytes;
    if (!this.total) {
      const part = rest.subarray(0, HEADER - this.loaded);
      this.#head.set(part, this.loaded);
      this.loaded += part.length;
      rest = rest.subarray(part.length);
      if (this.loaded < HEADER) return;
      this.#begin();
    }
    if (this.loaded + rest.length > this.total) {
      const message = `${this.#source.name} goes on after the ${this.total} bytes that its header promises`;
      throw new EdgeSparseError("FILE_TRAILING", message, FETCH_AGAIN);
    }
    this.#engine.write(this.loaded, rest);
    this.loaded += rest.length;
    this.#predict();
  }

  #begin(): void {
    this.total = expectedLength(this.#engine, this.#head, this.#source.name);
    const promised = this.#source.length;
    if (promised !== undefined && promised < this.total) throw truncated(promised, this.total, this.#source.name);
    checkMemory(this.total, 0, this.#rules.memoryLimit);
    this.#engine.reserve(this.total);
    this.#engine.write(0, this.#head);
  }

  #predict(): void {
    if (this.#predicted) return;
    const expected = this.#engine.predict(this.loaded);
    if (!expected) return;
    this.#predicted = true;
    // Where the whole file is there, its checks come first: they know why a number is too large.
    if (this.loaded < this.total) checkPrediction(this.total, expected.sessionBytes, this.#rules);
  }

  finish(): void {
    if (!this.total) this.total = expectedLength(this.#engine, this.#head.subarray(0, this.loaded), this.#source.name);
    if (this.loaded < this.total) throw truncated(this.loaded, this.total, this.#source.name);
    const wanted = this.#rules.sha256?.toLowerCase();
    const found = this.#hash?.finish();
    if (wanted === found) return;
    const message = `the SHA-256 of ${this.#source.name} is ${found}, not ${wanted}`;
    throw new EdgeSparseError("DOWNLOAD_HASH", message, "check the address and the hash, or download it again");
  }
}

/** Refuse an opened file whose session would not fit. */
export function checkSession(engine: Engine, fileBytes: number, rules: LoadRules): void {
  checkPrediction(fileBytes, engine.predict(fileBytes)?.sessionBytes ?? 0, rules);
}

/** Read the whole stream; the engine can open the file afterwards. Returns its length. */
export async function receive(engine: Engine, source: ByteStream, rules: LoadRules): Promise<number> {
  const receiver = new Receiver(engine, source, rules);
  const reader = new PieceReader(source.stream);
  // It also stops the download; that a cancelled stream then fails says nothing new.
  const stop = () => void reader.cancel().catch(() => undefined);
  rules.signal?.addEventListener("abort", stop);
  try {
    for (;;) {
      const piece = await read(reader, source, rules.signal);
      if (rules.signal?.aborted) throw aborted();
      if (!piece) break;
      receiver.take(piece);
      rules.onProgress({ stage: "download", loaded: receiver.loaded, total: receiver.total });
    }
    receiver.finish();
    return receiver.total;
  } catch (error) {
    stop();
    throw error;
  } finally {
    rules.signal?.removeEventListener("abort", stop);
  }
}

async function read(reader: PieceReader, source: ByteStream, signal?: AbortSignal): Promise<Uint8Array | undefined> {
  try {
    return await reader.read();
  } catch (error) {
    if (signal?.aborted) throw aborted();
    const hint = "check the network and try again";
    throw new EdgeSparseError("DOWNLOAD_FAILED", `${source.name} broke off: ${String(error)}`, hint, { cause: error });
  }
}

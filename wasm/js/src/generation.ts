// A text that is being written: an iterable of its pieces, and how it went.
import { EdgeSparseError } from "./errors.js";
import type { GenerationResult } from "./types.js";

/** Starts the work: hands out pieces until the result, or until the signal is aborted. */
export type Write = (onPiece: (text: string) => void, signal: AbortSignal) => Promise<GenerationResult>;

/**
 * Pieces of text as they become certain, and `result` when all is written.
 *
 * Writing begins at once. Leaving the loop early stops it. A text can be read once.
 */
export class Generation implements AsyncIterable<string> {
  /** Resolves when the text has ended; with finish "cancelled" when its reader left early. */
  readonly result: Promise<GenerationResult>;
  #pieces: string[] = [];
  #stop = new AbortController();
  #ended = false;
  #failure: unknown;
  #wake: (() => void) | undefined;
  #read = false;

  constructor(write: Write) {
    this.result = write((text) => this.#add(text), this.#stop.signal);
    // Whoever reads only the pieces learns of failures from them.
    this.result.then(
      () => this.#end(undefined),
      (error: unknown) => this.#end(error),
    );
  }

  #add(text: string): void {
    this.#pieces.push(text);
    this.#wake?.();
  }

  #end(failure: unknown): void {
    this.#failure = failure;
    this.#ended = true;
    this.#wake?.();
  }

  /** Stop writing; the result tells how far it came. */
  stop(): void {
    this.#stop.abort();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    if (this.#read) throw new EdgeSparseError("OPTION_RANGE", "this text was read already", "generate again");
    this.#read = true;
    try {
      for (;;) {
        while (this.#pieces.length) yield this.#pieces.shift()!;
        if (this.#ended) break;
        await new Promise<void>((wake) => (this.#wake = wake));
      }
      if (this.#failure !== undefined) throw this.#failure;
    } finally {
      this.stop();
    }
  }

  /** The whole text. */
  async text(): Promise<string> {
    let text = "";
    for await (const piece of this) text += piece;
    return text;
  }
}

// Reads a stream piece by piece, where the browser can into one buffer that is used again and again.

/** A new array for every piece would be garbage as large as the file before it is collected. */
const BUFFER = 1 << 18;

export class PieceReader {
  #reader: ReadableStreamDefaultReader<Uint8Array> | ReadableStreamBYOBReader;
  #buffer: ArrayBuffer | undefined;

  constructor(stream: ReadableStream<Uint8Array>) {
    try {
      this.#reader = stream.getReader({ mode: "byob" });
      this.#buffer = new ArrayBuffer(BUFFER);
    } catch (error) {
      // Streams of other kinds, and browsers that cannot do it.
      if (!(error instanceof TypeError)) throw error;
      this.#reader = stream.getReader();
    }
  }

  /** The next piece, valid until the next call; undefined at the end. */
  async read(): Promise<Uint8Array | undefined> {
    if (!this.#buffer) return (await (this.#reader as ReadableStreamDefaultReader<Uint8Array>).read()).value;
    const { value, done } = await (this.#reader as ReadableStreamBYOBReader).read(new Uint8Array(this.#buffer));
    if (value) this.#buffer = value.buffer;
    return done ? undefined : value;
  }

  cancel(): Promise<void> {
    return this.#reader.cancel();
  }
}

// Where the bytes of a model come from: all sources become one stream.
import { aborted, EdgeSparseError } from "./errors.js";
import { readLocalFile } from "./local_files.js";

/** What a session can be created from. Strings are addresses, relative to the page. */
export type ModelSource = string | URL | ArrayBuffer | Uint8Array | Blob | Response;

/** Bytes on their way. */
export interface ByteStream {
  readonly stream: ReadableStream<Uint8Array>;
  /** What the sender promised; undefined where it says nothing, or sends compressed. */
  readonly length?: number;
  /** What messages call it. */
  readonly name: string;
}

/** The length, where it is known, to be spread into an object. */
export function lengthOf({ length }: { readonly length?: number }): { length?: number } {
  return length === undefined ? {} : { length };
}

const PIECE = 1 << 20;
const FETCH_HINT = "check the address, the network, and that the server allows this page (CORS)";

function failed(message: string, hint: string, cause?: unknown): EdgeSparseError {
  return new EdgeSparseError("DOWNLOAD_FAILED", message, hint, { cause });
}

/** The absolute address of a source, undefined for bytes. */
export function addressOf(source: ModelSource): URL | undefined {
  if (typeof source !== "string" && !(source instanceof URL)) return undefined;
  try {
    return new URL(source, globalThis.location?.href);
  } catch (error) {
    throw failed(`"${String(source)}" is no address`, "pass a URL, or the bytes of an .egs file", error);
  }
}

/** The bytes in pieces, without a copy of them all. */
function streamOfBytes(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      const piece = bytes.subarray(at, at + PIECE);
      at += piece.length;
      if (piece.length) controller.enqueue(piece);
      if (at >= bytes.length) controller.close();
    },
  });
}

function streamOfResponse(response: Response, name: string): ByteStream {
  if (!response.ok) throw failed(`${name} gave HTTP ${response.status} ${response.statusText}`.trim(), FETCH_HINT);
  if (!response.body || response.bodyUsed || response.body.locked) throw failed(`the body of ${name} was read already`, "pass a fresh Response");
  // Pages do not see whether another origin's answer is compressed; its length then says nothing.
  const compressed = response.type === "cors" || response.headers.has("content-encoding");
  const length = compressed ? null : response.headers.get("content-length");
  return { stream: response.body, name, ...(length === null ? {} : { length: Number(length) }) };
}

/** Start a download. */
export async function openAddress(address: URL, signal?: AbortSignal): Promise<ByteStream> {
  if (address.protocol === "file:") return openBytes(await readLocalFile(address));
  try {
    return streamOfResponse(await fetch(address, signal ? { signal } : {}), address.href);
  } catch (error) {
    if (signal?.aborted) throw aborted();
    if (error instanceof EdgeSparseError) throw error;
    throw failed(`${address.href} cannot be fetched: ${String(error)}`, FETCH_HINT, error);
  }
}

export function openBytes(source: Exclude<ModelSource, string | URL>): ByteStream {
  if (source instanceof Response) return streamOfResponse(source, source.url || "the response");
  if (source instanceof Blob) return { stream: source.stream(), length: source.size, name: "the file" };
  if (source instanceof ArrayBuffer || source instanceof Uint8Array) {
    const bytes = source instanceof Uint8Array ? source : new Uint8Array(source);
    return { stream: streamOfBytes(bytes), length: bytes.length, name: "the bytes" };
  }
  const hint = "pass a URL, ArrayBuffer, Uint8Array, Blob or Response";
  throw new EdgeSparseError("SOURCE_TYPE", `a model cannot be made from ${typeof source}`, hint);
}

// The one kind of error that the package throws, with the codes of the C and Python runtimes.
import type { StatusCode } from "./status.js";

/** Codes of this package alone; all others are those of docs/format.md and edge_sparse_status.h. */
export type BrowserCode =
  | "ABORTED"
  | "DOWNLOAD_FAILED"
  | "DOWNLOAD_HASH"
  | "INPUT_DTYPE"
  | "INPUT_UNKNOWN"
  | "OPTION_RANGE"
  | "PICTURE_UNREADABLE"
  | "SESSION_DISPOSED"
  | "SOURCE_TYPE"
  | "WASM_FAILED"
  | "WORKER_FAILED";

export type ErrorCode = StatusCode | BrowserCode;

/** What a call failed with: a stable code, the cause in words, and what to do next. */
export class EdgeSparseError extends Error {
  override readonly name: string;
  readonly code: ErrorCode;
  /** The next step. */
  readonly hint: string;

  constructor(code: ErrorCode, message: string, hint: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.hint = hint;
    // The name that the platform's own aborted calls have.
    this.name = code === "ABORTED" ? "AbortError" : "EdgeSparseError";
  }
}

/** An error as messages carry it: classes do not survive them. */
export interface PlainError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

export function plainError(error: unknown): PlainError {
  const known = edgeSparseError(error);
  return { code: known.code, message: known.message, hint: known.hint };
}

export function errorFrom({ code, message, hint }: PlainError): EdgeSparseError {
  return new EdgeSparseError(code, message, hint);
}

/** Whatever was thrown, as one of ours. */
export function edgeSparseError(error: unknown): EdgeSparseError {
  if (error instanceof EdgeSparseError) return error;
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new EdgeSparseError("WASM_FAILED", words, "report it with the file, the browser and what was called", {
    cause: error,
  });
}

export function aborted(): EdgeSparseError {
  return new EdgeSparseError("ABORTED", "the signal was aborted", "call again without aborting");
}

export function disposed(): EdgeSparseError {
  return new EdgeSparseError("SESSION_DISPOSED", "the session was disposed", "create another session");
}

// What a page and its worker say to each other. Every request has a number, and every answer the number of its request.
import type { PlainError } from "./errors.js";
import type { Progress } from "./loading.js";
import type { CallName, LoadOptions } from "./runner.js";
import type { GenerateOptions } from "./types.js";

export type Request =
  /** Without an address, pieces follow. The module follows as soon as it is compiled. */
  | {
      readonly kind: "load";
      readonly id: number;
      readonly url?: string;
      readonly name: string;
      readonly length?: number;
      readonly options: LoadOptions;
    }
  | { readonly kind: "module"; readonly module: WebAssembly.Module }
  | { readonly kind: "noModule"; readonly error: PlainError }
  /** A part of the bytes; without bytes: that was all. */
  | { readonly kind: "piece"; readonly bytes?: Uint8Array }
  /** The source broke off. */
  | { readonly kind: "noPiece"; readonly reason: string }
  | { readonly kind: "call"; readonly id: number; readonly name: CallName; readonly given: readonly unknown[] }
  | { readonly kind: "generate"; readonly id: number; readonly prompt: string | Int32Array; readonly options: GenerateOptions }
  | { readonly kind: "abort"; readonly id: number };

export type Answer =
  | { readonly kind: "result"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: PlainError }
  | { readonly kind: "progress"; readonly id: number; readonly progress: Progress }
  | { readonly kind: "text"; readonly id: number; readonly text: string }
  /** The worker has room for another piece. */
  | { readonly kind: "more"; readonly id: number };

// What runs a session: here or in a worker, by the same calls.
import type { Progress } from "./loading.js";
import type { ByteStream } from "./sources.js";
import type {
  AttentionOptions, Classification, GenerateOptions, GenerationResult, ModelInfo, Pixels, StepProfile, Tensor, TensorData,
} from "./types.js";

/** Inputs or outputs by name. */
export type TensorMap = Record<string, Tensor>;
export type InputMap = Record<string, Tensor | TensorData>;

/** How a model is loaded; all of it can be sent to a worker. */
export interface LoadOptions extends AttentionOptions {
  readonly memoryLimit: number;
  readonly sha256?: string;
  readonly cache: boolean;
  readonly plan?: string;
  readonly profiling?: boolean;
}

/** What loading found. */
export interface Loaded {
  readonly info: ModelInfo;
  /** Whether the browser keeps the file for the next visit. */
  readonly cached: boolean;
}

/** The calls that need nothing but their arguments. */
export interface Calls {
  run(inputs: InputMap): TensorMap;
  classify(pixels: Pixels, top: number): Classification[];
  encode(text: string): Int32Array;
  decode(tokens: Int32Array): string;
  read(tokens: Int32Array): Float32Array;
  rewind(tokens: number): number;
  setAttention(options: AttentionOptions): ModelInfo;
  reset(): void;
  profile(): StepProfile[];
  setProfiling(on: boolean): void;
}

export type CallName = keyof Calls;

export interface Runner {
  /** From an address, or from bytes. */
  load(
    source: URL | ByteStream,
    module: Promise<WebAssembly.Module>,
    options: LoadOptions,
    onProgress: (progress: Progress) => void,
    signal?: AbortSignal,
  ): Promise<Loaded>;
  call<Name extends CallName>(name: Name, ...given: Parameters<Calls[Name]>): Promise<ReturnType<Calls[Name]>>;
  /** Aborting ends it with the text so far, and finish "cancelled". */
  generate(
    prompt: string | Int32Array,
    options: GenerateOptions,
    onPiece: (text: string) => void,
    signal: AbortSignal,
  ): Promise<GenerationResult>;
  dispose(): void;
}

// What people pass to sessions and get from them; the words are those of docs/format.md and edge_sparse.h.

/** Element types of inputs and outputs. */
export type DType = "float32" | "float16" | "int8" | "uint8" | "int32";

/** Arrays of a tensor: float16 values are the bits of halves, in a Uint16Array. */
export type TensorData = Float32Array | Uint16Array | Int8Array | Uint8Array | Int32Array;

/** A dense array in row-major order; the shape of images with `nhwc` is (N, H, W, C). */
export interface Tensor {
  readonly data: TensorData;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** An input or output of the network. Images with `nhwc` lie in memory as (N, H, W, C) although `shape` is (N, C, H, W). */
export interface Port {
  readonly name: string;
  readonly dtype: DType;
  /** With `symbolic`, the first length is the most that a run may bring. */
  readonly shape: readonly number[];
  readonly nhwc: boolean;
  readonly symbolic: boolean;
}

/** What a file says of itself. */
export interface ModelInfo {
  readonly plans: readonly string[];
  readonly labels: readonly string[];
  /** Whether the file says how a picture becomes its input. */
  readonly image: boolean;
  /** Whether it is a language model, and whether it brings its tokenizer. */
  readonly text: boolean;
  readonly tokenizer: boolean;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Bytes of the file, and of arena, state and tables. */
  readonly fileBytes: number;
  readonly sessionBytes: number;
  /** The whole WebAssembly memory when the session began; the first run adds inputs and outputs. */
  readonly memoryBytes: number;
  /** Of a language model: pieces, and tokens that fit. */
  readonly vocabulary: number;
  readonly context: number;
  /** What the file suggests for sampling. */
  readonly sampling: Required<SamplingOptions>;
}

/** How the next token is chosen; docs/generation.md. */
export interface SamplingOptions {
  /** From 0; 0: always the likeliest token. */
  temperature?: number;
  /** 0: all. */
  topK?: number;
  topP?: number;
  minP?: number;
  /** 1: none. */
  repetitionPenalty?: number;
  seed?: number | bigint;
}

export interface GenerateOptions extends SamplingOptions {
  /** Without it: until the text ends or the context is full. */
  maxTokens?: number;
  /** Texts that end the generation. */
  stop?: readonly string[];
  /** A full context forgets its older half instead of ending. */
  roll?: boolean;
  signal?: AbortSignal;
}

export type FinishReason = "end" | "length" | "stop" | "context" | "cancelled";

/** How a generation went. */
export interface GenerationResult {
  readonly finish: FinishReason;
  readonly promptTokens: number;
  readonly reusedTokens: number;
  readonly generatedTokens: number;
  readonly firstTokenSeconds: number;
  readonly decodeSeconds: number;
  readonly tokensPerSecond: number;
  /** Share of stored keys that delta attention need not look at, 0 to 1. */
  readonly skipped: number;
}

/** How the attention of a language model works; fixed until `setAttention`. */
export interface AttentionOptions {
  attention?: "exact" | "delta";
  /** Of delta attention: changes up to this are not stored. */
  theta?: number;
  /** Of delta attention: exact block as a share of the prompt, 0 to 1. */
  window?: number;
  /** Of delta attention: first tokens that stay exact. */
  sinks?: number;
  /** How keys and values are stored; default int8 for exact attention, float16 for delta. */
  kvCache?: "float32" | "float16" | "int8";
  /** Tokens that fit; default: as many as the file says. */
  context?: number;
}

/** One step of the plan: what runs for it, and the time that it took since profiling began. */
export interface StepProfile {
  readonly step: string;
  readonly op: string;
  readonly kernel: string;
  readonly runs: number;
  readonly milliseconds: number;
  readonly millisecondsMin: number;
  /** Kept share of the matrix; undefined for steps without one. */
  readonly density?: number;
}

/** A class that the network found in a picture. */
export interface Classification {
  readonly index: number;
  readonly label: string;
  readonly probability: number;
}

/** RGBA pixels of 8 bits, such as an ImageData. */
export interface Pixels {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

/** Which compilation of the core runs. `relaxed` fuses multiply-adds: faster, last bits differ between machines. */
export type Variant = "simd" | "relaxed" | "scalar";

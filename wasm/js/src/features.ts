// What this browser's WebAssembly can do, found out by validating tiny modules.

/** What the engine offers; SIMD is needed, the others are optional. */
export interface Features {
  readonly simd: boolean;
  readonly relaxedSimd: boolean;
  /** Shared memory needs a page that is isolated by its headers. */
  readonly threads: boolean;
}

const HEAD = [0, 97, 115, 109, 1, 0, 0, 0];
/** A type () -> v128, one function. */
const FUNCTION = [1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0];
/** i32.const 0, i8x16.splat */
const ZERO = [65, 0, 253, 15];

function validates(body: readonly number[]): boolean {
  // Section code: one function without locals; the body ends with 11.
  const code = [10, body.length + 4, 1, body.length + 2, 0, ...body, 11];
  return WebAssembly.validate(new Uint8Array([...HEAD, ...FUNCTION, ...code]));
}

export function features(): Features {
  return {
    simd: validates([...ZERO, 253, 98]), // i8x16.popcnt
    relaxedSimd: validates([...ZERO, ...ZERO, ...ZERO, 253, 133, 2]), // f32x4.relaxed_madd
    threads: typeof SharedArrayBuffer === "function" && globalThis.crossOriginIsolated === true,
  };
}

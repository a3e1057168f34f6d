// Finds and compiles the WebAssembly file, once for every address.
import { EdgeSparseError } from "./errors.js";
import { features } from "./features.js";
import { readLocalFile } from "./local_files.js";
import type { Variant } from "./types.js";

/** Where the WebAssembly comes from, if not from beside this file. */
export type WasmSource = string | URL | ArrayBuffer | Uint8Array | WebAssembly.Module;

// Every session needs its module; compiling takes longer than loading a small model.
const compiled = new Map<string, Promise<WebAssembly.Module>>();

function failed(message: string, hint: string, cause?: unknown): EdgeSparseError {
  return new EdgeSparseError("WASM_FAILED", message, hint, { cause });
}

function addressOf(variant: Variant): URL {
  // Literals, so that bundlers see the files.
  if (variant === "simd") return new URL("./edge_sparse.wasm", import.meta.url);
  if (variant === "relaxed") return new URL("./edge_sparse_relaxed.wasm", import.meta.url);
  if (variant === "scalar") {
    throw failed("the package holds no module of variant scalar", "pass one as option wasm: wasm/build.py makes it");
  }
  throw new EdgeSparseError("OPTION_RANGE", `variant ${String(variant)} is unknown`, "ask for simd, relaxed or scalar");
}

function addressGiven(source: string | URL): URL {
  try {
    return new URL(source, globalThis.location?.href);
  } catch (error) {
    throw failed(`"${String(source)}" is no address`, "pass a URL, the bytes or a compiled module as option wasm", error);
  }
}

function check(variant: Variant): void {
  const found = features();
  if (variant !== "scalar" && !found.simd) {
    throw failed("this browser's WebAssembly has no SIMD", "use a browser of 2023 or newer");
  }
  if (variant === "relaxed" && !found.relaxedSimd) {
    throw failed("this browser's WebAssembly has no relaxed SIMD", "ask for variant simd: features() says what there is");
  }
}

async function compileResponse(address: URL): Promise<WebAssembly.Module> {
  if (address.protocol === "file:") return WebAssembly.compile(await readLocalFile(address));
  const response = await fetch(address);
  if (!response.ok) {
    throw failed(`${address.href} gave HTTP ${response.status}`, "put the package's .wasm files there, or pass option wasm");
  }
  // Servers that do not know the type, or add a charset, are common: then the bytes are compiled after they are there.
  const typed = response.headers.get("content-type")?.toLowerCase() === "application/wasm";
  return typed ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}

async function compileAddress(address: URL): Promise<WebAssembly.Module> {
  const known = compiled.get(address.href);
  if (known) return known;
  const compiling = compileResponse(address).catch((error: unknown) => {
    compiled.delete(address.href);
    if (error instanceof EdgeSparseError) throw error;
    const hint = "serve the package's .wasm files there, let a content security policy say wasm-unsafe-eval, or pass option wasm";
    throw failed(`${address.href}: ${String(error)}`, hint, error);
  });
  compiled.set(address.href, compiling);
  return compiling;
}

/** The compiled core of a variant. */
export async function moduleOf(variant: Variant, source?: WasmSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (source === undefined || !(source instanceof ArrayBuffer || ArrayBuffer.isView(source))) {
    const address = source === undefined ? addressOf(variant) : addressGiven(source);
    check(variant);
    return compileAddress(address);
  }
  try {
    return await WebAssembly.compile(source as BufferSource);
  } catch (error) {
    throw failed(String(error), "pass the bytes of the package's edge_sparse.wasm", error);
  }
}

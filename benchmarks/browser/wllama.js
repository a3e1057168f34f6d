// wllama: llama.cpp's server as WebAssembly with SIMD, one thread, without a GPU.
import { Wllama } from "/peers/node_modules/@wllama/wllama/esm/index.js";

const silent = () => undefined;
const LOGGER = { debug: silent, log: silent, warn: silent, error: console.error };

/** The time of tokens is what it measures itself in its worker, without messages; its prompt stays cached between calls. */
export async function llama(address, options) {
  const wllama = new Wllama(
    { default: "/peers/node_modules/@wllama/wllama/esm/wasm/wllama.wasm" },
    { suppressNativeLog: true, logger: LOGGER },
  );
  // No second build from elsewhere for other browsers.
  wllama.setCompat(null);
  const file = await (await fetch(address)).blob();
  await wllama.loadModel([file], { n_threads: 1, n_gpu_layers: 0, n_parallel: 1, ...options });
  if (wllama.isMultithread()) throw new Error("wllama runs with threads");

  async function decode(depth, tokens) {
    // Words of the vocabulary that write_gguf makes; one token in front marks the beginning.
    const prompt = Array.from({ length: depth - 1 }, (_, number) => 1000 + number).join(" ");
    const wanted = { prompt, max_tokens: tokens, temperature: 0, ignore_eos: true, cache_prompt: true };
    const { timings, usage } = await wllama.createCompletion(wanted);
    if (usage.prompt_tokens !== depth) throw new Error(`the prompt has ${usage.prompt_tokens} tokens`);
    if (timings.predicted_n !== tokens) throw new Error(`only ${timings.predicted_n} tokens came`);
    return timings.predicted_ms / tokens;
  }

  return { decode, close: () => wllama.exit() };
}

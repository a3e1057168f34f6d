// What the WebAssembly core exports: wasm/src.

/** An address in the core's memory. */
export type Address = number;

/** What wasm/src exports; statuses are numbers, 0 is success. */
export interface Exports {
  readonly memory: WebAssembly.Memory;
  _initialize(): void;
  memory_create(limit: number): Address;
  memory_take(memory: Address, size: number): Address;
  memory_used(memory: Address): number;
  allocate(size: number): Address;
  release(memory: Address): void;
  reply_bytes(): number;
  status_name(status: number): Address;
  status_hint(status: number): Address;
  model_expect(head: Address, length: number, reply: Address): number;
  model_open(memory: Address, data: Address, length: number, reply: Address): number;
  model_plan_name(model: Address, plan: number): Address;
  model_label(model: Address, label: number): Address;
  image_scratch_bytes(model: Address, pixels: Address, width: number, height: number): number;
  image_preprocess(model: Address, pixels: Address, width: number, height: number, scratch: Address, scratchBytes: number, input: Address, inputBytes: number): number;
  session_create(model: Address, plan: Address, reply: Address): number;
  session_close(session: Address): void;
  session_error(session: Address): Address;
  session_reset(session: Address): void;
  session_ends_in_softmax(session: Address): number;
  session_port_counts(session: Address, reply: Address): void;
  session_port(session: Address, number: number, reply: Address): number;
  session_bind(session: Address, number: number, data: Address, bytes: number): number;
  session_run(session: Address): number;
  session_set_profiling(session: Address, on: number): void;
  session_step_count(session: Address): number;
  session_step(session: Address, number: number, reply: Address): number;
  text_create(model: Address, context: number, attention: number, cache: number, theta: number, window: number, sinks: number, reply: Address): number;
  text_close(text: Address): void;
  text_error(text: Address): Address;
  text_vocabulary(text: Address): number;
  text_context(text: Address): number;
  text_skipped(text: Address): number;
  text_defaults(text: Address, reply: Address): void;
  text_encode(text: Address, utf8: Address, length: number, tokens: Address, capacity: number, reply: Address): number;
  text_decode(text: Address, tokens: Address, count: number, utf8: Address, capacity: number, reply: Address): number;
  text_read(text: Address, tokens: Address, count: number, reply: Address): number;
  text_rewind(text: Address, tokens: number): number;
  text_begin(text: Address, areTokens: number, prompt: Address, count: number, temperature: number, topK: number, topP: number, minP: number, penalty: number, seed: bigint, maxTokens: number, stops: Address, stopCount: number, roll: number): number;
  text_next(text: Address, reply: Address): number;
  text_end(text: Address, reply: Address): number;
}

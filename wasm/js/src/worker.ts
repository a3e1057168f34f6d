// The worker's side: a runner that is driven by messages. Bundlers and pages start this file as a module worker.
import { errorFrom, plainError } from "./errors.js";
import { LocalRunner } from "./local_runner.js";
import type { Answer, Request } from "./messages.js";
import type { Calls } from "./runner.js";
import { lengthOf } from "./sources.js";
import type { ByteStream } from "./sources.js";

interface WorkerScope {
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  postMessage(answer: Answer, transfer?: Transferable[]): void;
}

const scope = globalThis as unknown as WorkerScope;
/** Only messages wait here, and a break costs as much as a token of a small model. */
const runner = new LocalRunner(1);
const aborts = new Map<number, AbortController>();
let giveModule: (module: WebAssembly.Module) => void;
let failModule: (error: unknown) => void;
const module = new Promise<WebAssembly.Module>((resolve, reject) => {
  giveModule = resolve;
  failModule = reject;
});
// It is awaited by load, which may come later than the failure.
module.catch(() => undefined);
let pieces: ReadableStreamDefaultController<Uint8Array> | undefined;

/** Buffers that nobody here needs any more. */
function buffersOf(value: unknown): Transferable[] {
  const buffers = new Set<Transferable>();
  const visit = (part: unknown): void => {
    if (ArrayBuffer.isView(part)) buffers.add(part.buffer as ArrayBuffer);
    else if (part && typeof part === "object") Object.values(part).forEach(visit);
  };
  visit(value);
  return [...buffers];
}

async function answer(id: number, work: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const abort = new AbortController();
  aborts.set(id, abort);
  try {
    const value = await work(abort.signal);
    scope.postMessage({ kind: "result", id, value }, buffersOf(value));
  } catch (error) {
    scope.postMessage({ kind: "error", id, error: plainError(error) });
  } finally {
    aborts.delete(id);
  }
}

function streamOfPieces(request: Request & { kind: "load" }): ByteStream {
  const stream = new ReadableStream<Uint8Array>(
    {
      start: (controller) => void (pieces = controller),
      pull: () => scope.postMessage({ kind: "more", id: request.id }),
    },
    { highWaterMark: 0 },
  );
  return { stream, name: request.name, ...lengthOf(request) };
}

function load(request: Request & { kind: "load" }): Promise<void> {
  const source = request.url === undefined ? streamOfPieces(request) : new URL(request.url);
  return answer(request.id, (signal) =>
    runner.load(source, module, request.options, (progress) => scope.postMessage({ kind: "progress", id: request.id, progress }), signal),
  );
}

scope.onmessage = ({ data }) => {
  switch (data.kind) {
    case "load":
      return void load(data);
    case "module":
      return giveModule(data.module);
    case "noModule":
      return failModule(errorFrom(data.error));
    case "piece":
      return data.bytes ? pieces?.enqueue(data.bytes) : pieces?.close();
    case "noPiece":
      return pieces?.error(data.reason);
    case "call":
      return void answer(data.id, () => runner.call(data.name, ...(data.given as Parameters<Calls[typeof data.name]>)));
    case "generate":
      return void answer(data.id, (signal) =>
        runner.generate(data.prompt, data.options, (text) => scope.postMessage({ kind: "text", id: data.id, text }), signal),
      );
    case "abort":
      return aborts.get(data.id)?.abort();
  }
};

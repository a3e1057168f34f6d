// Keeps downloaded models in the browser's Cache API, so that a second visit needs no network.

const NAME = "edge-sparse-models";

/** A model that is kept. */
export interface CachedModel {
  readonly url: string;
  readonly bytes: number;
}

async function storage(): Promise<Cache | undefined> {
  // Not on insecure origins, nor in Node.js.
  if (typeof caches === "undefined") return undefined;
  try {
    return await caches.open(NAME);
  } catch {
    // Private windows of some browsers refuse: then nothing is kept, as `cached` of the session says.
    return undefined;
  }
}

/** The kept file of an address. */
export async function findCached(url: string): Promise<Response | undefined> {
  return (await storage())?.match(url, { ignoreVary: true });
}

/** Keep a file, read from where it lies piece by piece; false if the browser has no room. */
export async function keepInCache(url: string, length: number, view: (from: number, to: number) => Uint8Array): Promise<boolean> {
  const cache = await storage();
  if (!cache) return false;
  const headers = { "content-type": "application/octet-stream", "content-length": String(length) };
  try {
    await cache.put(url, new Response(streamOf(length, view), { headers }));
    return true;
  } catch (error) {
    // QuotaExceededError, or a disk that is full: the session itself does not depend on it.
    if (error instanceof DOMException || error instanceof TypeError) return false;
    throw error;
  }
}

const PIECE = 1 << 20;

/** Views, no copies: those would be garbage as large as the file. Nothing moves the memory before the file is kept. */
function streamOf(length: number, view: (from: number, to: number) => Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  const source: UnderlyingDefaultSource<Uint8Array> = {
    pull(controller) {
      const end = Math.min(at + PIECE, length);
      controller.enqueue(view(at, end));
      at = end;
      if (at === length) controller.close();
    },
  };
  return new ReadableStream(source, { highWaterMark: 0 });
}

/** All models that are kept. */
export async function cachedModels(): Promise<CachedModel[]> {
  const cache = await storage();
  const models: CachedModel[] = [];
  for (const request of (await cache?.keys()) ?? []) {
    const response = await cache?.match(request);
    models.push({ url: request.url, bytes: Number(response?.headers.get("content-length") ?? 0) });
  }
  return models;
}

/** Forget one model; false if it was not kept. */
export async function deleteCachedModel(url: string | URL): Promise<boolean> {
  const address = new URL(url, globalThis.location?.href).href;
  return (await (await storage())?.delete(address)) ?? false;
}

/** Forget all models. */
export async function clearModelCache(): Promise<void> {
  if (typeof caches !== "undefined") await caches.delete(NAME);
}

// The service worker: keeps the page's files, listed with hashes in precache.js, and answers with them, network or not.
// Models are kept by the npm package.
/// <reference lib="webworker" />
importScripts("precache.js");

const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
/** @type {{version: string, files: Record<string, string>}} */
const precache = /** @type {any} */ (self).PRECACHE;
const scope = worker.registration.scope;
// One origin can hold several copies of the page.
const prefix = `edge-sparse-page ${scope} `;
const cacheName = prefix + precache.version;

async function install() {
  const cache = await caches.open(cacheName);
  // "no-cache": ask the server whether what the browser has is still right.
  await cache.addAll(Object.keys(precache.files).map((path) => new Request(new URL(path, scope), { cache: "no-cache" })));
}

async function activate() {
  const names = await caches.keys();
  await Promise.all(names.filter((other) => other.startsWith(prefix) && other !== cacheName).map((other) => caches.delete(other)));
  await worker.clients.claim();
}

/** @param {Request} request */
async function answer(request) {
  const url = new URL(request.url);
  const path = url.href.slice(scope.length).replace(/[?#].*$/, "") || "index.html";
  const cache = await caches.open(cacheName);
  const kept = Object.hasOwn(precache.files, path) ? await cache.match(new URL(path, scope)) : undefined;
  return kept ?? fetch(request);
}

worker.addEventListener("install", (event) => event.waitUntil(install()));
worker.addEventListener("activate", (event) => event.waitUntil(activate()));
worker.addEventListener("message", (event) => {
  if (event.data === "take over") void worker.skipWaiting();
});
worker.addEventListener("fetch", (event) => {
  const { method, url } = event.request;
  if (method === "GET" && url.startsWith(scope) && !url.endsWith(".egs")) event.respondWith(answer(event.request));
});

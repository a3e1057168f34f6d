// The models that come with the page, and all sessions that are open.
import { EdgeSparseError, Session } from "./edge-sparse/index.js";

/**
 * @typedef {import("./edge-sparse/index.js").SessionOptions} SessionOptions
 * @typedef {{name: string, file: string, task: "digits" | "text", title: string, kept: number, quality: number, bytes: number, sha256: string}} Shipped
 */

/** @returns {Promise<Shipped[]>} */
async function loadList() {
  const address = new URL("./models.json", import.meta.url);
  const response = await fetch(address).catch((error) => {
    throw new EdgeSparseError("DOWNLOAD_FAILED", `the list of models cannot be fetched: ${error}`, "check the network and reload");
  });
  if (!response.ok) throw new EdgeSparseError("DOWNLOAD_FAILED", `models.json gave HTTP ${response.status}`, "build the page again: make web");
  return response.json();
}

/** Asked for once, when the page starts. */
export const shipped = loadList();
// Whoever needs it says so; until then a failure must not count as unhandled.
shipped.catch(() => undefined);

/** @type {Set<Session>} */
export const open = new Set();
const changed = new EventTarget();

/** @param {() => void} listener */
export function onSessions(listener) {
  changed.addEventListener("change", listener);
}

/** Open any file, and count it among the open ones.
 * @param {URL | Blob} source
 * @param {SessionOptions} options
 */
export async function openModel(source, options = {}) {
  const session = await Session.create(source, options);
  open.add(session);
  changed.dispatchEvent(new Event("change"));
  return session;
}

/** Open one that comes with the page.
 * @param {string} name
 * @param {SessionOptions} [options]
 */
export async function openShipped(name, options = {}) {
  const entry = (await shipped).find((candidate) => candidate.name === name);
  if (!entry) throw new EdgeSparseError("DOWNLOAD_FAILED", `models.json has no ${name}`, "build the page again: make web");
  return openModel(new URL(`./models/${entry.file}`, import.meta.url), { sha256: entry.sha256, ...options });
}

/** @param {Session | undefined} session */
export function close(session) {
  if (!session || !open.delete(session)) return;
  session.dispose();
  changed.dispatchEvent(new Event("change"));
}

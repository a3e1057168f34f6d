// What all this costs: the size of the engine, memory, and what is kept on the device.
import { cachedModels, clearModelCache } from "./edge-sparse/index.js";
import { element, say } from "./elements.js";
import { onSessions, open } from "./models.js";
import { size } from "./words.js";

async function showWasm() {
  const address = new URL("./edge-sparse/edge_sparse.wasm", import.meta.url);
  const response = await fetch(address, { cache: "force-cache" });
  const bytes = (await response.arrayBuffer()).byteLength;
  element("wasm-size", HTMLElement).textContent = size(bytes);
}

function showMemory() {
  const bytes = [...open].reduce((sum, session) => sum + session.info.memoryBytes, 0);
  element("memory", HTMLElement).textContent = size(bytes);
}

export async function showKept() {
  const kept = await cachedModels();
  const bytes = kept.reduce((sum, model) => sum + model.bytes, 0);
  element("kept", HTMLElement).textContent = kept.length ? `${kept.length}, ${size(bytes)}` : "none";
  element("forget", HTMLButtonElement).disabled = kept.length === 0;
}

async function forget() {
  await clearModelCache();
  await showKept();
  say("footer-words", "The kept models are gone; the next visit loads them again.");
}

export function startFooter() {
  element("forget", HTMLButtonElement).addEventListener("click", () => void forget());
  const show = () => {
    showMemory();
    void showKept();
  };
  onSessions(show);
  show();
  // A size that is not known is no reason to disturb anybody.
  showWasm().catch(() => (element("wasm-size", HTMLElement).textContent = "unknown"));
}

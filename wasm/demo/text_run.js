// One text being written: pieces into the page as they come, numbers while it goes on.
import { element } from "./elements.js";
import { duration, percent } from "./words.js";

/**
 * @typedef {import("./edge-sparse/index.js").Session} Session
 * @typedef {import("./edge-sparse/index.js").GenerateOptions} GenerateOptions
 * @typedef {import("./edge-sparse/index.js").GenerationResult} GenerationResult
 */

/** Writes behind a prompt into an element, and follows the text with the view.
 * @param {Session} session
 * @param {string} prompt
 * @param {GenerateOptions} options
 * @param {HTMLElement} place
 * @param {AbortSignal} stop ends the text, which is no error
 * @param {(pieces: number, milliseconds: number) => void} onPiece
 * @returns {Promise<GenerationResult>}
 */
export async function writeText(session, prompt, options, place, stop, onPiece = () => undefined) {
  const given = document.createElement("b");
  given.textContent = prompt;
  const text = document.createTextNode("");
  place.replaceChildren(given, text);
  place.setAttribute("aria-busy", "true");
  const generation = session.generate(prompt, options);
  const end = () => generation.stop();
  stop.addEventListener("abort", end);
  // It may have been pressed while the session made ready.
  if (stop.aborted) end();
  const start = performance.now();
  let pieces = 0;
  try {
    for await (const piece of generation) {
      const below = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
      text.appendData(piece);
      if (below) place.scrollTop = place.scrollHeight;
      onPiece(++pieces, performance.now() - start);
    }
    return await generation.result;
  } finally {
    stop.removeEventListener("abort", end);
    place.setAttribute("aria-busy", "false");
  }
}

/** @param {GenerationResult} result */
export function wordsOf(result) {
  const end = { end: "the text ended", length: "the length was reached", stop: "a stop text came", context: "the context is full", cancelled: "stopped" };
  return `${result.generatedTokens} tokens in ${duration(1000 * (result.firstTokenSeconds + result.decodeSeconds))}, ${end[result.finish]}`;
}

/** @param {GenerationResult} result */
export function showNumbers(result) {
  element("speed", HTMLElement).textContent = result.tokensPerSecond.toFixed(0);
  element("first", HTMLElement).textContent = duration(1000 * result.firstTokenSeconds);
  element("skipped", HTMLElement).textContent = percent(result.skipped, 1);
  element("count", HTMLElement).textContent = String(result.generatedTokens);
}

// Let Shakespeare write: which weights, which attention, how fast, and what was skipped.
import { chosen, element, made, say } from "./elements.js";
import { forgetUse, noteUse } from "./last_used.js";
import { close, openShipped, shipped } from "./models.js";
import { hideProblem, showProblem } from "./problem.js";
import { showNumbers, wordsOf, writeText } from "./text_run.js";
import { percent, size } from "./words.js";

/**
 * @typedef {import("./edge-sparse/index.js").Session} Session
 * @typedef {import("./edge-sparse/index.js").AttentionOptions} AttentionOptions
 */

const select = element("writer-model", HTMLSelectElement);
const theta = element("theta", HTMLInputElement);
const button = element("write-button", HTMLButtonElement);
const stopButton = element("stop-button", HTMLButtonElement);
/** @type {{name: string, session: Promise<Session>} | undefined} */
let current;
let attention = "";
let stop = new AbortController();
const SHOWN_TEXTS = 8;

/** @returns {AttentionOptions} */
function wantedAttention() {
  return chosen("attention") === "delta" ? { attention: "delta", theta: Number(theta.value) } : { attention: "exact" };
}

/** The session of the chosen weights; opening another closes the one before. */
async function sessionOfChoice() {
  const name = select.value;
  if (current?.name !== name) {
    const before = current;
    current = undefined;
    if (before) await closeWhenOpen(before.session);
    const entry = (await shipped).find((candidate) => candidate.name === name);
    const onProgress = (/** @type {{loaded: number}} */ { loaded }) => say("writer-words", `loading ${size(loaded)} of ${size(entry?.bytes ?? 0)}`);
    const session = openShipped(name, { onProgress });
    current = { name, session };
    attention = JSON.stringify({ attention: "exact" });
    session.catch(() => (current = undefined));
  }
  return /** @type {{session: Promise<Session>}} */ (current).session;
}

/** @param {Promise<Session>} opening */
async function closeWhenOpen(opening) {
  const session = await opening.catch(() => undefined);
  forgetUse(session);
  close(session);
}

/** @param {Session} session
 * @param {AttentionOptions} wanted
 */
async function attend(session, wanted) {
  const words = JSON.stringify(wanted);
  if (words === attention) return;
  await session.setAttention(wanted);
  attention = words;
}

async function write() {
  const used = settings();
  const wanted = wantedAttention();
  const session = await sessionOfChoice();
  if (stop.signal.aborted) return say("writer-words", "stopped");
  await attend(session, wanted);
  // Nothing read before is reused: times to the first token then compare.
  await session.reset();
  say("writer-words", "writing");
  const prompt = element("prompt", HTMLTextAreaElement).value;
  const options = { maxTokens: numberOf("length"), temperature: numberOf("temperature"), seed: Math.floor(Math.random() * 2 ** 31) };
  const speed = element("speed", HTMLElement);
  const result = await writeText(session, prompt, options, element("text", HTMLElement), stop.signal, (pieces, milliseconds) => {
    element("count", HTMLElement).textContent = String(pieces);
    if (milliseconds > 100) speed.textContent = ((1000 * pieces) / milliseconds).toFixed(0);
  });
  showNumbers(result);
  say("writer-words", wordsOf(result));
  addRow(used, result);
  const again = () => session.generate(prompt, { ...options, maxTokens: 64 }).result;
  noteUse({ name: `Shakespeare, ${used.weights}, attention ${used.how}`, session, runs: 4, again });
}

/** @param {string} id */
function numberOf(id) {
  return Number(element(id, HTMLSelectElement).value);
}

/** What the controls say; they may change while a text is written. */
function settings() {
  const how = chosen("attention") === "delta" ? `delta, θ ${Number(theta.value).toFixed(2)}` : "exact";
  return { weights: select.selectedOptions[0]?.label ?? "", how };
}

/** @param {{weights: string, how: string}} used
 * @param {import("./edge-sparse/index.js").GenerationResult} result
 */
function addRow({ weights, how }, result) {
  const table = element("runs", HTMLTableElement);
  const cells = [weights, how, String(result.generatedTokens), result.tokensPerSecond.toFixed(0), percent(result.skipped, 1)];
  const row = made("tr");
  row.append(...cells.map((words) => made("td", words)));
  const body = table.tBodies[0];
  body?.prepend(row);
  if (body && body.rows.length > SHOWN_TEXTS) body.rows[SHOWN_TEXTS]?.remove();
  table.hidden = false;
}

/** @param {SubmitEvent} event */
async function submitted(event) {
  event.preventDefault();
  stop = new AbortController();
  setBusy(true);
  hideProblem("writer-problem");
  try {
    await write();
  } catch (error) {
    say("writer-words", "");
    showProblem("writer-problem", error);
  }
  setBusy(false);
}

/** @param {boolean} busy */
function setBusy(busy) {
  const wasFocused = document.activeElement === (busy ? button : stopButton);
  button.disabled = select.disabled = busy;
  stopButton.disabled = !busy;
  // The disabled one would lose the focus to nowhere.
  if (wasFocused) (busy ? stopButton : button).focus();
}

async function showQuality() {
  const entry = (await shipped).find((candidate) => candidate.name === select.value);
  if (!entry) return;
  const cost = entry.kept < 1 ? ` Leaving out ${percent(1 - entry.kept)} of the weights without training again costs that much, and one can read it; pruning while training, as for the digits above, would cost far less.` : "";
  say("quality", `${entry.title}, ${size(entry.bytes)}: ${entry.quality.toFixed(2)} nats a byte on a sonnet that it has never read (less is better; guessing blindly: 5.55).${cost}`);
}

export async function startWriter() {
  element("writer", HTMLFormElement).addEventListener("submit", (event) => void submitted(event));
  stopButton.addEventListener("click", () => stop.abort());
  select.addEventListener("change", () => void showQuality());
  theta.addEventListener("input", () => (element("theta-value", HTMLElement).textContent = Number(theta.value).toFixed(2)));
  const followAttention = () => (theta.disabled = chosen("attention") !== "delta");
  for (const input of document.querySelectorAll('input[name="attention"]')) input.addEventListener("change", followAttention);
  followAttention();
  try {
    const texts = (await shipped).filter((entry) => entry.task === "text");
    select.replaceChildren(...texts.map((entry) => new Option(`${entry.title} (${size(entry.bytes)})`, entry.name)));
    await showQuality();
  } catch (error) {
    showProblem("writer-problem", error);
  }
}

/** Open the model before it is asked for: the first text then starts at once, also without a network later. */
export async function warmWriter() {
  const frugal = /** @type {{connection?: {saveData?: boolean}}} */ (navigator).connection?.saveData;
  if (frugal || current) return;
  try {
    await sessionOfChoice();
    say("writer-words", "ready");
  } catch {
    // Whoever presses the button is told; nobody has asked for it yet.
    say("writer-words", "");
  }
}

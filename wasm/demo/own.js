// Open any .egs file: facts from the file, then what it wants: pictures or a prompt.
import { element, made, say } from "./elements.js";
import { takeFiles } from "./drop.js";
import { forgetUse, noteUse } from "./last_used.js";
import { close, openModel } from "./models.js";
import { stopPictures, usePictures } from "./own_pictures.js";
import { useText } from "./own_text.js";
import { hideProblem, showProblem } from "./problem.js";
import { size } from "./words.js";

/** @typedef {import("./edge-sparse/index.js").Session} Session */

/** @type {Session | undefined} */
let session;
let loading = new AbortController();
const progress = element("own-progress", HTMLProgressElement);

/** @param {File} file */
async function open(file) {
  loading.abort();
  const mine = (loading = new AbortController());
  closeCurrent();
  hideProblem("own-problem");
  progress.value = 0;
  progress.hidden = false;
  say("own-words", `opening ${file.name}`);
  try {
    const onProgress = (/** @type {{loaded: number, total: number}} */ { loaded, total }) => (progress.value = total ? loaded / total : 0);
    const opened = await openModel(file, { onProgress, signal: mine.signal });
    if (mine.signal.aborted) return close(opened);
    session = opened;
    show(file, opened);
  } catch (error) {
    // Another file was chosen meanwhile: it speaks for itself.
    if (mine.signal.aborted) return;
    say("own-words", "");
    showProblem("own-problem", error);
  } finally {
    if (mine === loading) progress.hidden = true;
  }
}

function closeCurrent() {
  stopPictures();
  forgetUse(session);
  close(session);
  session = undefined;
  element("own-model", HTMLElement).hidden = true;
}

/** @param {File} file
 * @param {Session} opened
 */
function show(file, opened) {
  const { info } = opened;
  const kind = info.image ? "image model" : info.text && info.tokenizer ? "language model" : "other";
  say("own-words", `${file.name} is open: ${kind === "other" ? "a network" : `an ${kind}`.replace("an l", "a l")}.`);
  showFacts(opened);
  element("own-picture", HTMLElement).hidden = kind !== "image model";
  element("own-text", HTMLElement).hidden = kind !== "language model";
  element("own-other", HTMLElement).hidden = kind !== "other";
  element("own-model", HTMLElement).hidden = false;
  if (kind === "image model") usePictures(file.name, opened);
  else if (kind === "language model") useText(file.name, opened);
  else noteUse({ name: file.name, session: opened, runs: 20, again: () => opened.run(emptyInputs(opened)) });
}

/** @param {Session} opened */
function showFacts({ info }) {
  const shapes = info.inputs.map((port) => port.shape.join(" × ")).join(", ");
  const facts = [
    ["file", size(info.fileBytes)],
    ["memory", size(info.memoryBytes)],
    ["input", shapes],
    info.text ? ["context", `${info.context} tokens`] : ["classes", info.labels.length ? String(info.labels.length) : "without labels"],
  ];
  const rows = facts.map(([name, value]) => {
    const row = made("div");
    row.append(made("dt", name), made("dd", value));
    return row;
  });
  element("own-facts", HTMLElement).replaceChildren(...rows);
}

/** Zeros of the right kind and shape.
 * @param {Session} opened
 */
function emptyInputs({ info }) {
  const kinds = { float32: Float32Array, float16: Uint16Array, int8: Int8Array, uint8: Uint8Array, int32: Int32Array };
  return Object.fromEntries(info.inputs.map((port) => [port.name, new kinds[port.dtype](port.shape.reduce((a, b) => a * b, 1))]));
}

export function startOwn() {
  takeFiles("model-drop", "model-file", (file) => void open(file));
}

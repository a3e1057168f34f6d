// Draw a digit: recognised while it is drawn, by the network of choice, and timed on both.
import { showBars } from "./bars.js";
import { Board } from "./board.js";
import { chosen, element, say } from "./elements.js";
import { noteUse } from "./last_used.js";
import { openShipped } from "./models.js";
import { hideProblem, showProblem } from "./problem.js";
import { race, TURN_MILLISECONDS } from "./race.js";
import { scanOf } from "./scan.js";
import { duration, percent } from "./words.js";

/**
 * @typedef {import("./edge-sparse/index.js").Session} Session
 * @typedef {import("./race.js").Standing} Standing
 */

/** A three, so that the page begins with a result. @type {import("./board.js").Point[][]} */
const EXAMPLE = [Array.from({ length: 41 }, (_, step) => three(step / 40))];
const LABELS = Array.from({ length: 10 }, (_, digit) => String(digit));
/** How long a drawing rests before both networks are timed on it. */
const REST_MILLISECONDS = 250;

/** Two arcs, from above. @param {number} part from 0 to 1 @returns {import("./board.js").Point} */
function three(part) {
  const upper = part < 0.5;
  const angle = upper ? -2.5 + part * 2 * 4.1 : -1.6 + (part - 0.5) * 2 * 4.1;
  return upper ? [0.48 + 0.15 * Math.cos(angle), 0.32 + 0.16 * Math.sin(angle)] : [0.48 + 0.18 * Math.cos(angle), 0.66 + 0.18 * Math.sin(angle)];
}

/** Both are a few hundred KB and take microseconds: they run on this thread, which spares the way to a worker. */
const opening = Promise.all([openShipped("digits-sparse", { worker: false }), openShipped("digits-dense", { worker: false })]);
const seen = element("seen", HTMLCanvasElement).getContext("2d");
const classes = element("classes", HTMLElement);
/** @type {Record<"dense" | "sparse", Session> | undefined} */
let sessions;
let waiting = false;
let racing = new AbortController();
let rest = 0;

const board = new Board(element("board", HTMLCanvasElement), changed, (words) => say("pen", words));

/** Once a frame is enough. */
function changed() {
  racing.abort();
  clearTimeout(rest);
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    recognise().catch((error) => showProblem("digits-problem", error));
  });
}

async function recognise() {
  if (!sessions) return;
  const scan = scanOf(board.strokes);
  seen?.putImageData(scan, 0, 0);
  if (!board.strokes.length) return showNothing();
  const session = sessions[chosen("digits-model") === "dense" ? "dense" : "sparse"];
  const found = await session.classify(scan, { top: 10 });
  const best = found[0];
  if (!best) return;
  showBars(classes, [...found].sort((a, b) => a.index - b.index));
  element("digit", HTMLOutputElement).textContent = best.label;
  say("digit-words", `${percent(best.probability, 1)} sure`);
  hideProblem("digits-problem");
  noteUse({ name: `digits, ${chosen("digits-model")}`, session, runs: 1000, again: () => session.classify(scan) });
  rest = setTimeout(() => void timeBoth(scan), REST_MILLISECONDS);
}

function showNothing() {
  showBars(classes, LABELS.map((label) => ({ label, probability: 0 })));
  element("digit", HTMLOutputElement).textContent = "–";
  say("digit-words", "draw something");
}

/** @param {ImageData} scan */
async function timeBoth(scan) {
  if (!sessions) return;
  racing = new AbortController();
  say("race-words", "");
  element("race", HTMLElement).setAttribute("aria-busy", "true");
  try {
    await race(sessions, scan, racing.signal, showStanding);
    say("race-words", verdict);
  } catch (error) {
    showProblem("digits-problem", error);
  }
  element("race", HTMLElement).setAttribute("aria-busy", "false");
}

let verdict = "";

/** @param {Standing} standing */
function showStanding({ dense, sparse, turns }) {
  const slowest = Math.max(dense, sparse);
  for (const [name, milliseconds] of /** @type {const} */ ([["dense", dense], ["sparse", sparse]])) {
    element(`race-${name}`, HTMLElement).textContent = duration(milliseconds);
    element(`race-${name}-bar`, HTMLElement).style.transform = `scaleX(${milliseconds / slowest})`;
  }
  const ratio = dense / sparse;
  verdict = ratio >= 1 ? `sparse is ${ratio.toFixed(2)}× as fast` : `sparse is slower here: ${ratio.toFixed(2)}×`;
  element("race-how", HTMLElement).textContent =
    `Time of one picture: medians of ${turns} turns of ${TURN_MILLISECONDS} ms each, in alternation, on one thread of this page: preparing the picture, the whole network, and handing out the result. ` +
    "The sparse network keeps 20 % of the weights of all layers but the first and the depthwise ones; those run dense in both.";
}

export async function startDigits() {
  showNothing();
  element("clear", HTMLElement).addEventListener("click", () => board.clear());
  for (const input of document.querySelectorAll('input[name="digits-model"]')) input.addEventListener("change", changed);
  board.showExample(EXAMPLE);
  try {
    const [sparse, dense] = await opening;
    sessions = { sparse, dense };
    await recognise();
    performance.mark("first-result");
  } catch (error) {
    say("digit-words", "the networks did not load");
    showProblem("digits-problem", error);
  }
}

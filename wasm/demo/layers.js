// Where the time goes: the profile of the network used last, as a chart and as a table.
import { drawChart } from "./chart.js";
import { element, made, say } from "./elements.js";
import { lastUsed, onUse } from "./last_used.js";
import { hideProblem, showProblem } from "./problem.js";
import { duration, percent } from "./words.js";

/**
 * @typedef {import("./edge-sparse/index.js").StepProfile} StepProfile
 * @typedef {import("./last_used.js").Used} Used
 */

const button = element("measure", HTMLButtonElement);
/** Repeats between two looks at the screen. */
const STRETCH = 100;

/** @param {Used} used
 * @returns {Promise<StepProfile[]>}
 */
async function profile({ session, again, runs }) {
  await again();
  await session.setProfiling(true);
  try {
    for (let run = 0; run < runs; run++) {
      await again();
      if (run % STRETCH === 0) await new Promise(requestAnimationFrame);
    }
    return await session.profile();
  } finally {
    await session.setProfiling(false);
  }
}

async function measure() {
  const used = lastUsed();
  if (!used) return;
  button.disabled = true;
  hideProblem("layers-problem");
  say("layers-words", `measuring ${used.name}`);
  try {
    const steps = (await profile(used)).filter((step) => step.runs > 0);
    show(used.name, steps);
  } catch (error) {
    say("layers-words", "");
    showProblem("layers-problem", error);
  }
  button.disabled = lastUsed() === undefined;
}

/** @param {StepProfile} step */
export function timeOf(step) {
  return step.milliseconds / step.runs;
}

/** @param {string} name
 * @param {StepProfile[]} steps
 */
function show(name, steps) {
  const total = steps.reduce((sum, step) => sum + timeOf(step), 0);
  const most = Math.max(...steps.map((step) => step.runs));
  say("layers-words", `${name}: ${steps.length} steps, ${duration(total)} a run, from ${most} runs. Reading the clock around every step costs time, too, so the sum is above a plain run.`);
  const figure = element("chart", HTMLElement);
  drawChart(figure, name, steps);
  figure.hidden = false;
  const rows = steps.map((step) => rowOf(step, total));
  element("layers-table", HTMLTableElement).tBodies[0]?.replaceChildren(...rows);
  element("layers-details", HTMLElement).hidden = false;
}

/** @param {StepProfile} step
 * @param {number} total
 */
function rowOf(step, total) {
  const kept = step.density === undefined ? "–" : percent(step.density);
  const cells = [step.op, step.kernel, kept, duration(timeOf(step)), percent(timeOf(step) / total, 1)];
  const row = made("tr");
  const head = made("th", step.step);
  head.scope = "row";
  row.append(head, ...cells.map((words) => made("td", words)));
  return row;
}

export function startLayers() {
  say("layers-words", "Use a network above first.");
  button.addEventListener("click", () => void measure());
  onUse((used) => {
    button.disabled = !used;
    say("layers-words", used ? `Last used: ${used.name}.` : "Use a network above first.");
  });
}

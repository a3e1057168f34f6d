// Horizontal bars, one a step, as SVG; the table beneath says the same to screen readers.
import { made } from "./elements.js";
import { duration, percent } from "./words.js";

/** @typedef {import("./edge-sparse/index.js").StepProfile} StepProfile */

const ROW = 24;
const NAMES = 0.36;
const VALUES = 96;
/** Text is this wide, about; names are cut to fit. */
const LETTER = 7;
const SPACE = "http://www.w3.org/2000/svg";

/** @param {string} name
 * @param {Record<string, string | number>} attributes
 * @param {string} [words]
 */
function shape(name, attributes, words = "") {
  const made = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (words) made.textContent = words;
  return made;
}

/** @param {StepProfile} step */
function kind(step) {
  if (step.density === undefined) return "other";
  return step.density < 1 ? "sparse" : "dense";
}

/** @param {HTMLElement} figure
 * @param {string} name
 * @param {readonly StepProfile[]} steps
 */
export function drawChart(figure, name, steps) {
  // One unit is one pixel, so that text stays as large on a phone.
  figure.hidden = false;
  const width = Math.max(280, figure.clientWidth);
  const left = Math.min(width * NAMES, 260);
  const room = width - left - VALUES;
  const times = steps.map((step) => step.milliseconds / step.runs);
  const most = Math.max(...times);
  const drawing = shape("svg", { viewBox: `0 0 ${width} ${steps.length * ROW}`, role: "img", "aria-label": `Time of every step of ${name}; the table below has the numbers` });
  steps.forEach((step, place) => {
    const time = times[place] ?? 0;
    const middle = place * ROW + 16;
    const kept = step.density === undefined || step.density === 1 ? "" : `, ${percent(step.density)}`;
    const row = shape("g", {});
    const long = Math.max(1, (room * time) / most);
    row.append(
      shape("title", {}, `${step.step}: ${step.op}, ${step.kernel}, ${duration(time)}`),
      shape("text", { x: 0, y: middle, class: "name" }, shortened(step.step, Math.floor(left / LETTER) - 1)),
      shape("rect", { x: left, y: place * ROW + 4, width: long, height: ROW - 8, rx: 3, class: kind(step) }),
      shape("text", { x: left + long + 6, y: middle, class: "value" }, duration(time) + kept),
    );
    drawing.append(row);
  });
  figure.replaceChildren(drawing, legend());
}

/** The end of a name tells more than its beginning.
 * @param {string} name
 * @param {number} letters
 */
function shortened(name, letters) {
  return name.length <= letters ? name : `…${name.slice(1 - letters)}`;
}

function legend() {
  const caption = made("figcaption", "", "fine");
  for (const [kind, words] of [["sparse", "sparse weights, with the kept share"], ["dense", "dense weights"], ["other", "depthwise, attention and steps without weights"]]) {
    const entry = made("span");
    entry.append(made("i", "", kind), words ?? "");
    caption.append(entry);
  }
  return caption;
}

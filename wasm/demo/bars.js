// A list of classes with their probabilities as bars.
import { made } from "./elements.js";
import { percent } from "./words.js";

/** @param {HTMLElement} list
 * @param {{label: string, probability: number}[]} rows
 * @param {string} [className] "named" where labels are words
 */
export function showBars(list, rows, className = "") {
  const likeliest = Math.max(...rows.map((row) => row.probability));
  while (list.children.length > rows.length) list.lastElementChild?.remove();
  rows.forEach((row, place) => {
    const item = list.children[place] ?? list.appendChild(emptyBar(className));
    const [label, bar, words] = item.children;
    if (label) label.textContent = row.label;
    if (words) words.textContent = percent(row.probability, 1);
    const fill = bar?.firstElementChild;
    if (fill instanceof HTMLElement) fill.style.transform = `scaleX(${row.probability})`;
    item.classList.toggle("first", row.probability === likeliest && likeliest > 0);
  });
}

/** @param {string} className */
function emptyBar(className) {
  const item = made("li", "", className);
  const bar = made("span", "", "bar");
  bar.append(made("i"));
  // The number beside it says the same.
  bar.setAttribute("aria-hidden", "true");
  item.append(made("span"), bar, made("span"));
  return item;
}

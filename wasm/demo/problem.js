// Shows what went wrong: the cause, the next step, and the code to search for.
import { EdgeSparseError } from "./edge-sparse/index.js";
import { element, made } from "./elements.js";

/** @param {string} id
 * @param {unknown} error
 */
export function showProblem(id, error) {
  const box = element(id, HTMLElement);
  const known = error instanceof EdgeSparseError;
  const cause = made("p");
  const sentence = error instanceof Error ? error.message : String(error);
  cause.append(made("strong", known ? error.code : "Unexpected"), ` ${sentence}`);
  box.replaceChildren(cause);
  if (known && error.hint) box.append(made("p", `Next step: ${error.hint}.`));
  box.hidden = false;
  // What is no error of ours is a defect of the page: it belongs into the console, too.
  if (!known) console.error(error);
}

/** @param {string} id */
export function hideProblem(id) {
  element(id, HTMLElement).hidden = true;
}

// A prompt for a language model that was opened; sampling as its file suggests.
import { element, say } from "./elements.js";
import { noteUse } from "./last_used.js";
import { hideProblem, showProblem } from "./problem.js";
import { wordsOf, writeText } from "./text_run.js";

/** @typedef {import("./edge-sparse/index.js").Session} Session */

const MOST_TOKENS = 400;
const form = element("own-text", HTMLFormElement);
const stopButton = element("own-stop", HTMLButtonElement);
/** @type {{name: string, session: Session} | undefined} */
let model;
let stop = new AbortController();

/** @param {string} name
 * @param {Session} session
 */
export function useText(name, session) {
  model = { name, session };
  element("own-output", HTMLElement).replaceChildren();
}

/** @param {SubmitEvent} event */
async function submitted(event) {
  event.preventDefault();
  if (!model || !stopButton.disabled) return;
  const { name, session } = model;
  stop = new AbortController();
  stopButton.disabled = false;
  hideProblem("own-problem");
  try {
    const prompt = element("own-prompt", HTMLTextAreaElement).value;
    await session.reset();
    const result = await writeText(session, prompt, { maxTokens: MOST_TOKENS }, element("own-output", HTMLElement), stop.signal);
    say("own-words", `${wordsOf(result)}, ${result.tokensPerSecond.toFixed(0)} tokens a second`);
    noteUse({ name, session, runs: 2, again: () => session.generate(prompt, { maxTokens: 32 }).result });
  } catch (error) {
    // Choosing another file ends the text of the one before.
    if (model?.session === session) showProblem("own-problem", error);
  }
  stopButton.disabled = true;
}

form.addEventListener("submit", (event) => void submitted(event));
stopButton.addEventListener("click", () => stop.abort());

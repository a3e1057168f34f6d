// Which network was used last, and how to run it once more: the chart of layers shows that one.

/**
 * @typedef {object} Used
 * @property {string} name
 * @property {import("./edge-sparse/index.js").Session} session
 * @property {number} runs how often to repeat it for times that a coarse clock can tell
 * @property {() => Promise<unknown>} again
 */

/** @type {Used | undefined} */
let last;
/** @type {((used: Used | undefined) => void)[]} */
const listeners = [];

/** @param {Used} used */
export function noteUse(used) {
  const same = last?.session === used.session;
  last = used;
  if (!same) for (const listener of listeners) listener(last);
}

/** The session is closed: it cannot be run again.
 * @param {import("./edge-sparse/index.js").Session | undefined} session
 */
export function forgetUse(session) {
  if (!last || last.session !== session) return;
  last = undefined;
  for (const listener of listeners) listener(undefined);
}

export function lastUsed() {
  return last;
}

/** @param {(used: Used | undefined) => void} listener */
export function onUse(listener) {
  listeners.push(listener);
}

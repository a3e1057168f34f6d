// Times two sessions on the same picture, in turns, so that a slow moment of the machine hits both.

/**
 * @typedef {import("./edge-sparse/index.js").Session} Session
 * @typedef {{dense: number, sparse: number, turns: number}} Standing milliseconds a run, medians so far
 */

/** Long against the 100 microseconds of a browser's clock, short against what a person notices. */
export const TURN_MILLISECONDS = 6;
const TURNS = 15;
/** Runs between two looks at the clock. */
const BLOCK = 4;
const ORDER = /** @type {const} */ (["dense", "sparse"]);

/** @param {number[]} values */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

/** Milliseconds a run, from as many as fill a turn.
 * @param {Session} session
 * @param {ImageData} picture
 */
async function time(session, picture) {
  const start = performance.now();
  for (let runs = BLOCK; ; runs += BLOCK) {
    for (let run = 0; run < BLOCK; run++) await session.classify(picture, { top: 1 });
    const milliseconds = performance.now() - start;
    if (milliseconds >= TURN_MILLISECONDS) return milliseconds / runs;
  }
}

/** Run the race until its end or until the signal; reports after every turn.
 * @param {Record<"dense" | "sparse", Session>} sessions
 * @param {ImageData} picture
 * @param {AbortSignal} signal
 * @param {(standing: Standing) => void} report
 */
export async function race(sessions, picture, signal, report) {
  /** @type {Record<"dense" | "sparse", number[]>} */
  const times = { dense: [], sparse: [] };
  for (let turn = 1; turn <= TURNS; turn++) {
    for (const name of turn % 2 ? ORDER : ORDER.toReversed()) {
      // Drawing comes first: a frame between any two turns.
      await new Promise(requestAnimationFrame);
      if (signal.aborted) return;
      times[name].push(await time(sessions[name], picture));
    }
    report({ dense: median(times.dense), sparse: median(times.sparse), turns: turn });
  }
}

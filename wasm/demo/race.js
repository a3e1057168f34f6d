// Times two sessions on the same picture, in turns, so that a slow moment of the machine hits both.

/**
 * @typedef {import("./edge-sparse/index.js").Session} Session
 * @typedef {{dense: number, sparse: number, turns: number, runs: number}} Standing milliseconds a run, medians so far
 */

/** Long against the 100 microseconds of a browser's clock, short against what a person notices. */
const TURN_MILLISECONDS = 6;
const TURNS = 15;
const ORDER = /** @type {const} */ (["dense", "sparse"]);

/** @param {number[]} values */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

/** @param {Session} session
 * @param {ImageData} picture
 * @param {number} runs
 */
async function time(session, picture, runs) {
  const start = performance.now();
  for (let run = 0; run < runs; run++) await session.classify(picture, { top: 1 });
  return (performance.now() - start) / runs;
}

/** How many runs make a turn long enough; the first ones also warm both up.
 * @param {Session} dense
 * @param {ImageData} picture
 */
async function runsOfTurn(dense, picture) {
  let runs = 4;
  while (runs < 4096 && (await time(dense, picture, runs)) * runs < TURN_MILLISECONDS) runs *= 2;
  return runs;
}

/** Run the race until its end or until the signal; reports after every turn.
 * @param {Record<"dense" | "sparse", Session>} sessions
 * @param {ImageData} picture
 * @param {AbortSignal} signal
 * @param {(standing: Standing) => void} report
 */
export async function race(sessions, picture, signal, report) {
  const runs = await runsOfTurn(sessions.dense, picture);
  /** @type {Record<"dense" | "sparse", number[]>} */
  const times = { dense: [], sparse: [] };
  for (let turn = 1; turn <= TURNS; turn++) {
    for (const name of turn % 2 ? ORDER : ORDER.toReversed()) {
      // Drawing comes first: a frame between any two turns.
      await new Promise(requestAnimationFrame);
      if (signal.aborted) return;
      times[name].push(await time(sessions[name], picture, runs));
    }
    report({ dense: median(times.dense), sparse: median(times.sparse), turns: turn, runs });
  }
}

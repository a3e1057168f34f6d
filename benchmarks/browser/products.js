// The time of every step of a network in its best run.
import { Session } from "/package/index.js";

/** Runs at least so many times and milliseconds; needs an isolated page for its fine clock. */
export async function profile(address, input, variant, runs, span) {
  const x = new Float32Array(await (await fetch(input)).arrayBuffer());
  const session = await Session.create(address, { worker: false, cache: false, variant });
  for (let run = 0; run < runs; run++) await session.run({ x });
  await session.setProfiling(true);
  const begin = performance.now();
  for (let run = 0; run < runs || performance.now() - begin < span; run++) await session.run({ x });
  const steps = await session.profile();
  session.dispose();
  return steps;
}

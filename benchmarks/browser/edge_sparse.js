// edge_sparse through its npm package, on the page's thread as the peers are, or in its worker.
import { Session } from "/package/index.js";

/** Returns a function that runs the network on the given input, and returns its output. */
export async function edgeSparse(address, input, options) {
  const session = await Session.create(`${address}.egs`, { worker: false, cache: false, ...options });
  return async () => (await session.run({ x: input.nchw })).logits.data;
}

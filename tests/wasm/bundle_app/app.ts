// A page that classifies one picture: as small as an app can be, and typed as strictly.
import { EdgeSparseError, Session } from "edge-sparse";
import type { Classification } from "edge-sparse";

async function classify(side: number): Promise<Classification[]> {
  const session = await Session.create("/digits.egs", { onProgress: ({ loaded, total }) => console.log(loaded, total) });
  try {
    return await session.classify({ data: new Uint8Array(4 * side * side).fill(90), width: side, height: side }, { top: 1 });
  } finally {
    session.dispose();
  }
}

const line = document.createElement("p");
document.body.append(line);
try {
  const [best] = await classify(16);
  line.textContent = best ? `label ${best.label}` : "no label";
} catch (error) {
  line.textContent = error instanceof EdgeSparseError ? `${error.code}: ${error.message} (${error.hint})` : String(error);
}

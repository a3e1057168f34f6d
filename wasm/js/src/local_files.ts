// Files of file: addresses, in Node.js alone: browsers have none.
import { EdgeSparseError } from "./errors.js";

interface FileModule {
  readFile(path: URL): Promise<Uint8Array<ArrayBuffer>>;
}

/** The bytes of a file. */
export async function readLocalFile(address: URL): Promise<Uint8Array<ArrayBuffer>> {
  // A name that bundlers do not follow: they would ask for what browsers have not.
  const name = "node:fs/promises";
  try {
    const files = (await import(/* @vite-ignore */ name)) as FileModule;
    return await files.readFile(address);
  } catch (error) {
    throw new EdgeSparseError("FILE_UNREADABLE", `${address.href}: ${String(error)}`, "check the path", { cause: error });
  }
}

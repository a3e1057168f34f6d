// npm run build: TypeScript to plain ES modules in dist, and the WebAssembly files of ../../build/wasm beside them.
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const wasm = fileURLToPath(new URL("../../build/wasm/", import.meta.url));
const dist = `${here}dist`;
const modules = ["edge_sparse.wasm", "edge_sparse_relaxed.wasm"];

for (const name of modules) {
  if (existsSync(wasm + name)) continue;
  console.error(`${wasm + name} is missing: make wasm`);
  process.exit(1);
}
// Made beside dist and then put in its place, so that nobody ever loads half of it.
const made = mkdtempSync(`${here}dist.`);
process.on("exit", () => rmSync(made, { recursive: true, force: true }));
const tsc = [`${here}node_modules/typescript/bin/tsc`, "-p", here, "--outDir", made];
const compiled = spawnSync(process.execPath, tsc, { stdio: "inherit" });
if (compiled.status !== 0) process.exit(compiled.status ?? 1);
// Comments are for the types and for the sources: pages need not load them.
const { transform } = await import("esbuild");
for (const name of readdirSync(made).filter((file) => file.endsWith(".js"))) {
  const path = `${made}/${name}`;
  const { code } = await transform(readFileSync(path, "utf8"), { minify: true, format: "esm", target: "es2022" });
  writeFileSync(path, code);
}
for (const name of modules) copyFileSync(wasm + name, `${made}/${name}`);
const old = `${made}.old`;
if (existsSync(dist)) renameSync(dist, old);
chmodSync(made, 0o755);
renameSync(made, dist);
rmSync(old, { recursive: true, force: true });

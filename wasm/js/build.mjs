// npm run build: types and ES modules in dist, and the WebAssembly files of ../../build/wasm beside them.
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
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
const made = mkdtempSync(`${here}node_modules/.dist-`);
process.on("exit", () => rmSync(made, { recursive: true, force: true }));
const tsc = [`${here}node_modules/typescript/bin/tsc`, "-p", here, "--emitDeclarationOnly", "--outDir", made];
const checked = spawnSync(process.execPath, tsc, { stdio: "inherit" });
if (checked.status !== 0) process.exit(checked.status ?? 1);
// Few files: pages fetch them at once, and together they compress better. The engine is an entry for tests of it alone.
const { buildSync } = await import("esbuild");
buildSync({
  entryPoints: ["index", "worker", "engine"].map((name) => `${here}src/${name}.ts`),
  bundle: true,
  splitting: true,
  chunkNames: "shared-[hash]",
  minify: true,
  format: "esm",
  target: "es2022",
  outdir: made,
  logLevel: "warning",
});
for (const name of modules) copyFileSync(wasm + name, `${made}/${name}`);
copyFileSync(fileURLToPath(new URL("../../LICENSE", import.meta.url)), `${made}/LICENSE`);
const old = `${made}.old`;
if (existsSync(dist)) renameSync(dist, old);
chmodSync(made, 0o755);
renameSync(made, dist);
rmSync(old, { recursive: true, force: true });

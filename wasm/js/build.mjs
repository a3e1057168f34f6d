// npm run build: TypeScript to plain ES modules in dist, and the WebAssembly files of ../../build/wasm beside them.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const wasm = fileURLToPath(new URL("../../build/wasm/", import.meta.url));
const modules = ["edge_sparse.wasm", "edge_sparse_relaxed.wasm"];

for (const name of modules) {
  if (existsSync(wasm + name)) continue;
  console.error(`${wasm + name} is missing: make wasm`);
  process.exit(1);
}
rmSync(`${here}dist`, { recursive: true, force: true });
const compiled = spawnSync(process.execPath, [`${here}node_modules/typescript/bin/tsc`, "-p", here], { stdio: "inherit" });
if (compiled.status !== 0) process.exit(compiled.status ?? 1);
// Comments are for the types and for the sources: pages need not load them.
const { transform } = await import("esbuild");
for (const name of readdirSync(`${here}dist`).filter((file) => file.endsWith(".js"))) {
  const path = `${here}dist/${name}`;
  const { code } = await transform(readFileSync(path, "utf8"), { minify: true, format: "esm", target: "es2022" });
  writeFileSync(path, code);
}
for (const name of modules) copyFileSync(wasm + name, `${here}dist/${name}`);

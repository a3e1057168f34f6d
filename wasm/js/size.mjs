// npm run size: what a page loads, raw and compressed; one of the two WebAssembly files.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const dist = fileURLToPath(new URL("dist/", import.meta.url));
const brotli = { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } };

export function sizes() {
  const result = {};
  for (const name of readdirSync(dist).filter((file) => /\.(js|wasm)$/.test(file))) {
    const data = readFileSync(dist + name);
    const size = { raw: data.length, gzip: gzipSync(data, { level: 9 }).length, brotli: brotliCompressSync(data, brotli).length };
    const kind = name.endsWith(".js") ? "JavaScript" : name;
    for (const key of Object.keys(size)) size[key] += result[kind]?.[key] ?? 0;
    result[kind] = size;
  }
  return result;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(JSON.stringify(sizes(), null, 2));

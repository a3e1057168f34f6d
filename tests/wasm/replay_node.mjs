// node replay_node.mjs PACKAGE/index.js FUNCTION CASES.json RESULTS.json OPTIONS: a function of replay.mjs on stored cases.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import * as replay from "./replay.mjs";

const [index, name, cases, results, options] = process.argv.slice(2);
const { Session } = await import(pathToFileURL(index).href);
const given = JSON.parse(options);
if (given.wasm) given.wasm = readFileSync(given.wasm);
const found = await replay[name](Session, JSON.parse(readFileSync(cases, "utf8")), given);
writeFileSync(results, JSON.stringify(found));

// node package_node.mjs PACKAGE/index.js FILE: a session from a file's address and from its bytes; prints what they give.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [index, path] = process.argv.slice(2);
const { cachedModels, features, Session } = await import(pathToFileURL(index).href);

async function scores(source) {
  const session = await Session.create(source);
  const [{ name, shape }] = session.info.inputs;
  const input = Float32Array.from({ length: shape.reduce((product, length) => product * length, 1) }, (_, place) => (place % 7) / 7);
  const [{ data }] = Object.values(await session.run({ [name]: input }));
  session.dispose();
  return [...data];
}

async function codeOf(source) {
  return Session.create(source).then(() => "NONE", (error) => error.code);
}

const missing = await codeOf(pathToFileURL(`${path}.missing`));
const relative = await codeOf("digits.egs");
const found = { address: await scores(pathToFileURL(path)), text: await scores(pathToFileURL(path).href), bytes: await scores(readFileSync(path)) };
// The process must end by itself: nothing of a session may keep it.
console.log(JSON.stringify({ ...found, missing, relative, features: features(), cached: await cachedModels() }));

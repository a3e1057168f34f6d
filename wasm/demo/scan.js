// Makes of strokes what the digits network was trained on: scans fitted into 32 x 32 cells, counted in blocks of 4 x 4,
// the 8 x 8 counts enlarged to 16 x 16 grey pixels, white on black (examples/digits/model.py).
import { tracePath } from "./board.js";

/** @typedef {import("./board.js").Point} Point */

const CELLS = 32;
const BLOCKS = 8;
export const SIDE = 16;
/** Pixels a cell, so that edges get shades. */
const FINE = 2;
/** The pen of the scans, and how wide and high the ink is, in cells. */
const PEN = 5;
const HEIGHT = 32;
const WIDTH = 28;
/** Strokes this small (share of the board) are dots, not digits to be enlarged. */
const SMALLEST = 0.12;

const canvas = new OffscreenCanvas(CELLS * FINE, CELLS * FINE);
const paint = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));

/** Ink of every block, 0 to 1.
 * @param {Point[][]} strokes
 */
function blocksOf(strokes) {
  const side = canvas.width;
  const points = strokes.flat();
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const fit = (/** @type {number} */ cells, /** @type {number} */ length) => (cells - PEN) / Math.max(length, SMALLEST);
  const scale = FINE * Math.min(fit(WIDTH, right - left), fit(HEIGHT, bottom - top));
  paint.fillStyle = "black";
  paint.fillRect(0, 0, side, side);
  paint.strokeStyle = "white";
  tracePath(paint, strokes, scale, side / 2 - (scale * (left + right)) / 2, side / 2 - (scale * (top + bottom)) / 2, PEN * FINE);
  const { data } = paint.getImageData(0, 0, side, side);
  const blocks = new Float32Array(BLOCKS * BLOCKS);
  const per = side / BLOCKS;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const block = Math.floor(y / per) * BLOCKS + Math.floor(x / per);
      blocks[block] = (blocks[block] ?? 0) + (data[4 * (y * side + x)] ?? 0) / (255 * per * per);
    }
  }
  return blocks;
}

/** Where a pixel lies between two blocks, measured from their centres.
 * @param {number} pixel
 */
function between(pixel) {
  const position = Math.min(Math.max((pixel + 0.5) / 2 - 0.5, 0), BLOCKS - 1);
  const first = Math.min(Math.floor(position), BLOCKS - 2);
  return { first, weight: position - first };
}

/** The picture of strokes as the network expects it.
 * @param {Point[][]} strokes
 */
export function scanOf(strokes) {
  const picture = new ImageData(SIDE, SIDE);
  const blocks = strokes.length ? blocksOf(strokes) : new Float32Array(BLOCKS * BLOCKS);
  const at = (/** @type {number} */ row, /** @type {number} */ column) => blocks[row * BLOCKS + column] ?? 0;
  for (let y = 0; y < SIDE; y++) {
    const row = between(y);
    for (let x = 0; x < SIDE; x++) {
      const column = between(x);
      const upper = at(row.first, column.first) * (1 - column.weight) + at(row.first, column.first + 1) * column.weight;
      const lower = at(row.first + 1, column.first) * (1 - column.weight) + at(row.first + 1, column.first + 1) * column.weight;
      const grey = Math.round(255 * (upper * (1 - row.weight) + lower * row.weight));
      picture.data.set([grey, grey, grey, 255], 4 * (y * SIDE + x));
    }
  }
  return picture;
}

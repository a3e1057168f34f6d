// A surface to draw on with mouse, pen, finger or keyboard. Strokes are lists of points from 0 to 1.

/** @typedef {[number, number]} Point */

const PEN = 0.075;
const STEP = 0.04;
const ARROWS = new Map([
  ["ArrowLeft", [-1, 0]],
  ["ArrowRight", [1, 0]],
  ["ArrowUp", [0, -1]],
  ["ArrowDown", [0, 1]],
]);

export class Board {
  /** @type {Point[][]} */
  strokes = [];
  /** @type {Point} */
  #cursor = [0.5, 0.2];
  #penDown = false;
  #example = false;
  #canvas;
  #paint;
  #onChange;
  #onPen;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} onChange
   * @param {(words: string) => void} onPen told what the keyboard's pen does
   */
  constructor(canvas, onChange, onPen) {
    this.#canvas = canvas;
    this.#onChange = onChange;
    this.#onPen = onPen;
    this.#paint = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const name of ["focus", "blur"]) canvas.addEventListener(name, () => this.#draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    this.#draw();
  }

  clear() {
    this.strokes = [];
    this.#penDown = false;
    this.#changed();
  }

  /** Show strokes that the first stroke of a person replaces.
   * @param {Point[][]} strokes
   */
  showExample(strokes) {
    this.strokes = strokes;
    this.#example = true;
    this.#changed();
  }

  #changed() {
    this.#draw();
    this.#onChange();
  }

  #dropExample() {
    if (this.#example) this.strokes = [];
    this.#example = false;
  }

  /** @param {PointerEvent} event
   * @returns {Point}
   */
  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  /** @param {PointerEvent} event */
  #begin(event) {
    if (event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#dropExample();
    this.#penDown = false;
    this.strokes.push([this.#place(event)]);
    this.#changed();
  }

  /** @param {PointerEvent} event */
  #move(event) {
    if (!this.#canvas.hasPointerCapture(event.pointerId)) return;
    // Browsers report one move a frame, and keep the places in between.
    const events = event.getCoalescedEvents?.() ?? [];
    this.strokes.at(-1)?.push(...(events.length ? events : [event]).map((part) => this.#place(part)));
    this.#changed();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const arrow = ARROWS.get(event.key);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (arrow) this.#step(/** @type {Point} */ (arrow));
    else if (event.key === " ") this.#togglePen();
    else if (event.key === "Delete" || event.key === "Backspace") this.clear();
    else return;
    event.preventDefault();
  }

  /** @param {Point} direction */
  #step(direction) {
    const place = (/** @type {0 | 1} */ axis) => Math.min(1, Math.max(0, this.#cursor[axis] + STEP * direction[axis]));
    this.#cursor = [place(0), place(1)];
    if (!this.#penDown) return this.#draw();
    this.strokes.at(-1)?.push(this.#cursor);
    this.#changed();
  }

  #togglePen() {
    this.#penDown = !this.#penDown;
    this.#onPen(this.#penDown ? "pen down" : "pen up");
    if (!this.#penDown) return this.#draw();
    this.#dropExample();
    this.strokes.push([this.#cursor]);
    this.#changed();
  }

  #draw() {
    const { width } = this.#canvas;
    const style = getComputedStyle(document.documentElement);
    this.#paint.clearRect(0, 0, width, width);
    this.#paint.strokeStyle = style.getPropertyValue(this.#example ? "--soft" : "--ink");
    tracePath(this.#paint, this.strokes, width, 0, 0, PEN * width);
    if (document.activeElement !== this.#canvas || !this.#canvas.matches(":focus-visible")) return;
    const [x, y] = this.#cursor;
    this.#paint.beginPath();
    this.#paint.arc(x * width, y * width, (PEN * width) / 2, 0, 7);
    this.#paint.fillStyle = this.#paint.strokeStyle = style.getPropertyValue("--accent");
    this.#paint.lineWidth = 3;
    if (this.#penDown) this.#paint.fill();
    else this.#paint.stroke();
  }
}

/** Draw strokes with a round pen; a point becomes a dot.
 * @param {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} paint
 * @param {Point[][]} strokes
 * @param {number} scale
 * @param {number} left
 * @param {number} top
 * @param {number} pen
 */
export function tracePath(paint, strokes, scale, left, top, pen) {
  paint.lineWidth = pen;
  paint.lineCap = paint.lineJoin = "round";
  for (const stroke of strokes) {
    paint.beginPath();
    for (const [x, y] of stroke) paint.lineTo(left + x * scale, top + y * scale);
    // A line that ends where it begins is the dot of a single point.
    if (stroke.length === 1) paint.closePath();
    paint.stroke();
  }
}

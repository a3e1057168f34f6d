// Numbers as people read them.

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} KB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {number} milliseconds */
export function duration(milliseconds) {
  if (milliseconds < 1) return `${(milliseconds * 1000).toFixed(milliseconds < 0.01 ? 1 : 0)} µs`;
  if (milliseconds < 1000) return `${milliseconds.toFixed(milliseconds < 100 ? 1 : 0)} ms`;
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

/** @param {number} share from 0 to 1
 * @param {number} [digits]
 */
export function percent(share, digits = 0) {
  return `${(100 * share).toFixed(digits)} %`;
}

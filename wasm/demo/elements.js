// The page's elements by id, of the kind that the caller expects.

/**
 * @template {Element} Kind
 * @param {string} id
 * @param {new () => Kind} kind
 * @returns {Kind}
 */
export function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new TypeError(`#${id} is no ${kind.name}`);
  return found;
}

/** Words for anybody, screen readers included.
 * @param {string} id
 * @param {string} words
 */
export function say(id, words) {
  const place = element(id, HTMLElement);
  // Setting the same words again would be read out again.
  if (place.textContent !== words) place.textContent = words;
}

/** The chosen value of radio buttons.
 * @param {string} name
 */
export function chosen(name) {
  const input = document.querySelector(`input[name="${name}"]:checked`);
  return input instanceof HTMLInputElement ? input.value : "";
}

/** A new element with words in it.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {string} [words]
 * @param {string} [className]
 */
export function made(tag, words = "", className = "") {
  const fresh = document.createElement(tag);
  fresh.textContent = words;
  fresh.className = className;
  return fresh;
}

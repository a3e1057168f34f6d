// Files that are chosen or dropped.
import { element } from "./elements.js";

/** @param {string} zoneId
 * @param {string} inputId
 * @param {(file: File) => void} onFile
 */
export function takeFiles(zoneId, inputId, onFile) {
  const zone = element(zoneId, HTMLElement);
  const input = element(inputId, HTMLInputElement);
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    // The same file may be chosen again.
    input.value = "";
    if (file) onFile(file);
  });
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const file = event.dataTransfer?.files[0];
    if (file) onFile(file);
  });
}

/** Files that miss their place must not replace the page. */
export function keepPage() {
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
}

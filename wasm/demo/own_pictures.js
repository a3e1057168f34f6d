// Photos and the camera for an image model that was opened.
import { showBars } from "./bars.js";
import { Camera } from "./camera.js";
import { takeFiles } from "./drop.js";
import { element, say } from "./elements.js";
import { noteUse } from "./last_used.js";
import { hideProblem, showProblem } from "./problem.js";
import { duration } from "./words.js";

/** @typedef {import("./edge-sparse/index.js").Session} Session */

const photo = element("photo", HTMLImageElement);
const video = element("camera", HTMLVideoElement);
const button = element("camera-button", HTMLButtonElement);
const camera = new Camera(video);
/** @type {{name: string, session: Session} | undefined} */
let model;

/** @param {string} name
 * @param {Session} session
 */
export function usePictures(name, session) {
  model = { name, session };
  element("view", HTMLElement).hidden = true;
  element("top", HTMLElement).replaceChildren();
  say("own-latency", "Give it a picture.");
}

export function stopPictures() {
  stopCamera();
  model = undefined;
}

/** @param {File} file */
async function classifyFile(file) {
  stopCamera();
  hideProblem("own-problem");
  const used = model;
  if (!used) return;
  try {
    const bitmap = await createImageBitmap(file).catch(() => undefined);
    // The session names the cause for what the browser cannot decode.
    const picture = bitmap ?? file;
    await classify(used, picture);
    URL.revokeObjectURL(photo.src);
    photo.src = URL.createObjectURL(file);
    show("photo");
  } catch (error) {
    showProblem("own-problem", error);
  }
}

/** @param {{name: string, session: Session}} used
 * @param {ImageBitmap | HTMLVideoElement | Blob} picture
 */
async function classify({ name, session }, picture) {
  const start = performance.now();
  const found = await session.classify(picture, { top: 5 });
  const milliseconds = performance.now() - start;
  showBars(element("top", HTMLElement), found.map((entry) => ({ ...entry, label: entry.label || `class ${entry.index}` })), "named");
  say("own-latency", `${duration(milliseconds)} from the decoded picture to the classes, with the ways to the worker and back`);
  noteUse({ name, session, runs: 20, again: () => session.classify(picture, { top: 1 }) });
}

/** @param {"photo" | "camera"} what */
function show(what) {
  element("view", HTMLElement).hidden = false;
  photo.hidden = what !== "photo";
  video.hidden = what !== "camera";
}

async function toggleCamera() {
  if (camera.running) return stopCamera();
  hideProblem("own-problem");
  try {
    await camera.start();
    button.textContent = "Stop the camera";
    show("camera");
    while (camera.running && model) {
      await classify(model, video);
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    // A model that was closed meanwhile is no problem of the camera.
    if (camera.running || !model) stopCamera();
    if (model) showProblem("own-problem", error);
  }
}

function stopCamera() {
  camera.stop();
  button.textContent = "Use the camera";
  if (!video.hidden) element("view", HTMLElement).hidden = true;
  video.hidden = true;
}

takeFiles("photo-drop", "photo-file", (file) => void classifyFile(file));
button.addEventListener("click", () => void toggleCamera());

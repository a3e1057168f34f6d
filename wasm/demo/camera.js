// The camera: pictures one after another, as fast as they are classified, until it is stopped.
import { EdgeSparseError } from "./edge-sparse/index.js";

/** @type {Record<string, string>} */
const REASONS = {
  NotAllowedError: "the camera was not allowed",
  NotFoundError: "there is no camera",
  NotReadableError: "another program uses the camera",
};

export class Camera {
  #video;
  /** @type {MediaStream | undefined} */
  #stream;

  /** @param {HTMLVideoElement} video */
  constructor(video) {
    this.#video = video;
  }

  get running() {
    return this.#stream !== undefined;
  }

  async start() {
    if (!navigator.mediaDevices) {
      throw new EdgeSparseError("PICTURE_UNREADABLE", "this page cannot use a camera", "open it through https or on localhost");
    }
    try {
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch (error) {
      const name = error instanceof DOMException ? error.name : "";
      throw new EdgeSparseError("PICTURE_UNREADABLE", REASONS[name] ?? String(error), "allow the camera in the browser, or choose a picture");
    }
    this.#video.srcObject = this.#stream;
    await this.#video.play();
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = undefined;
    this.#video.srcObject = null;
  }
}

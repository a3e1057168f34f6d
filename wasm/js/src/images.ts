// Whatever a page calls a picture becomes RGBA pixels; how they become an input is written in the file.
import { EdgeSparseError } from "./errors.js";
import type { Pixels } from "./types.js";

/** What a session classifies. */
export type Picture =
  | Pixels
  | ImageData
  | ImageBitmap
  | Blob
  | HTMLImageElement
  | HTMLVideoElement
  | HTMLCanvasElement
  | OffscreenCanvas;

function unreadable(message: string, cause?: unknown): EdgeSparseError {
  return new EdgeSparseError("PICTURE_UNREADABLE", message, "pass a picture that this browser can show", { cause });
}

function isPixels(picture: Picture): picture is Pixels {
  const data = (picture as Partial<Pixels>).data;
  return data instanceof Uint8ClampedArray || data instanceof Uint8Array;
}

type Drawable = Exclude<Picture, Pixels | ImageData | Blob>;

function sizeOf(picture: Drawable): { width: number; height: number } {
  if (typeof HTMLVideoElement !== "undefined" && picture instanceof HTMLVideoElement) {
    return { width: picture.videoWidth, height: picture.videoHeight };
  }
  if (typeof HTMLImageElement !== "undefined" && picture instanceof HTMLImageElement) {
    return { width: picture.naturalWidth, height: picture.naturalHeight };
  }
  return { width: picture.width, height: picture.height };
}

function draw(picture: Drawable): Pixels {
  const { width, height } = sizeOf(picture);
  if (!width || !height) throw unreadable("the picture has no pixels yet: wait until it is loaded");
  try {
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    if (!context) throw new TypeError("there is no canvas for it");
    context.drawImage(picture, 0, 0);
    return context.getImageData(0, 0, width, height);
  } catch (error) {
    // No picture at all, too large a one, or one of another site whose pixels pages must not see.
    throw unreadable(`the browser does not hand out its pixels: ${String(error)}`, error);
  }
}

/** The pixels of a picture, as they are: neither scaled nor turned, but for what the picture's own data says. */
export async function pixelsOf(picture: Picture): Promise<Pixels> {
  if (typeof picture !== "object" || picture === null) throw unreadable(`${String(picture)} is no picture`);
  if (isPixels(picture)) return picture;
  if (!(picture instanceof Blob)) return draw(picture);
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(picture, { colorSpaceConversion: "none" });
  } catch (error) {
    throw unreadable(`the browser cannot decode it: ${String(error)}`, error);
  }
  try {
    return draw(bitmap);
  } finally {
    bitmap.close();
  }
}

/** Small pictures: of a layer on the gateway, or of a file that was not sent yet. */
import { element } from "./elements.js";
import { layerPath } from "./gateway.js";

const PIXELS = 144;
const TRIES = 5;

/** Returns an image of the layer; asks again where the gateway is too busy to make it. */
export function layerThumbnail(jobId, stage, size = PIXELS) {
  const image = element("img", { class: "thumb", alt: "", loading: "lazy", decoding: "async" });
  let tries = 0;
  image.addEventListener("error", () => {
    tries += 1;
    if (tries < TRIES) setTimeout(() => { image.src = `${layerPath(jobId, stage, size)}&try=${tries}`; }, 1500 * tries);
  });
  image.src = layerPath(jobId, stage, size);
  return image;
}

/** Returns a canvas with the picture of a file; empty when the browser cannot read it. */
export function fileThumbnail(file) {
  const canvas = element("canvas", { class: "thumb", "aria-hidden": "true" });
  canvas.width = canvas.height = PIXELS;
  draw(file, canvas);
  return canvas;
}

async function draw(file, canvas) {
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    return; // TIFF, for one: the gateway reads more than browsers do
  }
  const side = Math.min(picture.width, picture.height);
  const [left, top] = [(picture.width - side) / 2, (picture.height - side) / 2];
  canvas.getContext("2d").drawImage(picture, left, top, side, side, 0, 0, PIXELS, PIXELS);
  picture.close();
}

export const emptyThumbnail = () => element("span", { class: "thumb", "aria-hidden": "true" });

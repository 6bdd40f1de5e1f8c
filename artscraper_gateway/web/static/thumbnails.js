/** Small pictures: of a layer on the gateway, or of a file that was not sent yet. */
import { element } from "./elements.js";
import { layerPath } from "./gateway.js";

const PIXELS = 144;
const TRIES = 5;
const AT_ONCE = 2; // of the six connections that a browser opens to a server: calls need the rest
const NEAR = "300px"; // of what is seen
const waiting = new Map(); // images that are nearly seen, and their addresses
const addresses = new WeakMap();
let loading = 0;

const observer = new IntersectionObserver(
  (changes) => {
    for (const { target, isIntersecting } of changes) {
      if (isIntersecting) waiting.set(target, addresses.get(target));
      else waiting.delete(target);
    }
    loadNext();
  },
  { rootMargin: NEAR },
);

function loadNext() {
  while (loading < AT_ONCE && waiting.size) {
    const [[image, address]] = waiting;
    waiting.delete(image);
    observer.unobserve(image);
    loading += 1;
    image.src = address;
  }
}

/** Returns an image of the layer; asks again where the gateway is too busy to make it. */
export function layerThumbnail(jobId, stage, size = PIXELS) {
  const image = element("img", { class: "thumb", alt: "", decoding: "async" });
  const address = layerPath(jobId, stage, size);
  let tries = 0;
  const ended = () => {
    loading -= 1;
    loadNext();
  };
  image.addEventListener("load", ended);
  image.addEventListener("error", () => {
    ended();
    tries += 1;
    if (tries === TRIES) return;
    addresses.set(image, `${address}&try=${tries}`);
    setTimeout(() => observer.observe(image), 1500 * tries);
  });
  addresses.set(image, address);
  observer.observe(image);
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

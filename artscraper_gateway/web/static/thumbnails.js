/** Small pictures: of a layer on the gateway, or of a file that was not sent yet. */
import { layerPath } from "./api.js";
import { element } from "./dom.js";

const PIXELS = 144;
const TRIES = 5;
const RETRY_MS = 1500;
const PARALLEL = 2; // of the six connections that a browser opens to a server: calls need the rest
const MARGIN = "300px"; // around what is visible
const waiting = new Map(); // images that are almost visible, and their URLs
const urls = new WeakMap();
let loading = 0;

const observer = new IntersectionObserver(
  (changes) => {
    for (const { target, isIntersecting } of changes) {
      if (isIntersecting) waiting.set(target, urls.get(target));
      else waiting.delete(target);
    }
    loadNext();
  },
  { rootMargin: MARGIN },
);

function loadNext() {
  while (loading < PARALLEL && waiting.size) {
    const [[image, url]] = waiting;
    waiting.delete(image);
    observer.unobserve(image);
    loading += 1;
    image.src = url;
  }
}

/** Return an image of the layer; requested again if the gateway is too busy to make it. */
export function layerThumbnail(jobId, stage, size = PIXELS) {
  const image = element("img", { class: "thumb", alt: "", decoding: "async" });
  const url = layerPath(jobId, stage, size);
  let tries = 0;
  const finished = () => {
    loading -= 1;
    loadNext();
  };
  image.addEventListener("load", () => {
    image.classList.remove("failed");
    finished();
  });
  image.addEventListener("error", () => {
    finished();
    image.classList.add("failed"); // else browsers draw a broken picture
    image.removeAttribute("src");
    tries += 1;
    if (tries === TRIES) return;
    urls.set(image, `${url}&try=${tries}`);
    setTimeout(() => observer.observe(image), RETRY_MS * tries);
  });
  urls.set(image, url);
  observer.observe(image);
  return image;
}

/** Return a canvas with the picture of a file; empty if the browser cannot read the format. */
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
    return; // such as TIFF: the gateway reads more formats than browsers do
  }
  const side = Math.min(picture.width, picture.height);
  const [left, top] = [(picture.width - side) / 2, (picture.height - side) / 2];
  canvas.getContext("2d").drawImage(picture, left, top, side, side, 0, 0, PIXELS, PIXELS);
  picture.close();
}

export const emptyThumbnail = () => element("span", { class: "thumb", "aria-hidden": "true" });

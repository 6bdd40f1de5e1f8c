/** The verdict in three short lines: can it be seen, does it do something, faces. */
import { layerPath, maskPath } from "./api.js";
import { NOT_SHOWN } from "./comparison.js";
import { element } from "./dom.js";
import { mostVisiblePlace } from "./smooth_place.js";
import { t } from "./strings.js";
import { effectLevel, faceResults, visibilityLevel } from "./verdict.js";

const SIGNS = { good: "✓", middling: "!", bad: "✕", neutral: "–" };
const VISIBILITY_SIGN = { nothing: "neutral", no: "good", hardly: "good", yes: "middling" };
const EFFECT_SIGN = { none: "neutral", tiny: "neutral", noise: "bad", little: "middling", yes: "good" };
const ANALYSED = 640; // px of the longer side in which the place is sought
const PLACE_SIDE = 64; // px of it
const CUTOUT = 96; // px shown of each picture
const FACE_MARGIN = 0.35; // of a face's box, around it
const MAX_PREVIEW = 2048;

/** Return the panel; `lookAt({ x, y })` shows a place in the viewer. */
export function verdictPanel(job, layers, lookAt) {
  const visibility = visibilityLevel(layers);
  const effect = effectLevel(layers);
  const seen = line("seen", VISIBILITY_SIGN[visibility], t(`verdict.seen.${visibility}`));
  const lines = [seen, line("effect", EFFECT_SIGN[effect], t(`verdict.effect.${effect}`)), facesLine(job, layers)];
  if (visibility === "yes" || visibility === "hardly") addPlace(seen, job, layers, lookAt);
  return element(
    "section",
    { class: "verdict", "aria-labelledby": "verdict-heading" },
    element("h2", { id: "verdict-heading", class: "visually-hidden" }, t("verdict.heading")),
    element("ul", {}, ...lines),
  );
}

function line(question, sign, text) {
  return element(
    "li",
    { "data-sign": sign },
    element("span", { class: "sign", "aria-hidden": "true" }, SIGNS[sign]),
    element("div", {}, element("h3", {}, t(`verdict.${question}`)), element("p", {}, text)),
  );
}

function facesLine(job, layers) {
  const faces = faceResults(layers);
  if (faces === null) return line("faces", "neutral", t("verdict.faces.not_sought"));
  if (!faces.length) return line("faces", "neutral", t(facesReason(layers)));
  const hidden = faces.filter((face) => face.isHidden).length;
  const sign = hidden === faces.length ? "good" : hidden ? "middling" : "bad";
  const item = line("faces", sign, t("verdict.faces.count", { count: faces.length }));
  item.lastChild.append(faceList(job, layers, faces), element("p", { class: "hint" }, t("verdict.faces.hint")));
  return item;
}

/** Without faces the cloak was not needed, or could not run. */
function facesReason(layers) {
  const cloak = layers.find((layer) => layer.stage === "fawkes");
  return cloak.applied || cloak.reason === "no face found" ? "verdict.faces.none" : "verdict.faces.unavailable";
}

function faceList(job, layers, faces) {
  const items = faces.map((face) => {
    const canvas = element("canvas", { class: "face", "aria-hidden": "true" });
    const words = t(face.isHidden ? "verdict.face.hidden" : "verdict.face.known");
    return { face, canvas, item: element("li", { "data-sign": face.isHidden ? "good" : "bad" }, canvas, words) };
  });
  drawFaces(job, layers, items);
  return element("ul", { class: "faces" }, ...items.map(({ item }) => item));
}

async function drawFaces(job, layers, items) {
  const picture = await loadImage(picturePath(job, layers, layers.at(-1).stage));
  if (!picture) return;
  const scale = picture.naturalWidth / layers[0].processing_size[0];
  for (const { face, canvas } of items) {
    const [left, top, faceWidth, faceHeight] = face.box;
    const margin = FACE_MARGIN * Math.max(faceWidth, faceHeight);
    const side = Math.max(faceWidth, faceHeight) + 2 * margin;
    canvas.width = canvas.height = CUTOUT;
    canvas.getContext("2d").drawImage(
      picture, (left - margin) * scale, (top - margin) * scale, side * scale, side * scale, 0, 0, CUTOUT, CUTOUT,
    );
  }
}

/** Cut out the place where the change shows most, of the original and of the protected picture. */
async function addPlace(seen, job, layers, lookAt) {
  const last = layers.at(-1);
  const [original, result, mask] = await Promise.all([
    loadImage(picturePath(job, layers, "original")),
    loadImage(picturePath(job, layers, last.stage)),
    last.mask_url ? loadImage(maskPath(job.job_id, last.stage)) : null,
  ]);
  if (!original || !result || !mask) return;
  const place = findPlace(original, mask);
  const cut = (picture) => cutout(picture, place);
  seen.lastChild.append(
    element(
      "div",
      { class: "place" },
      element("figure", {}, cut(original), element("figcaption", {}, t("verdict.place.before"))),
      element("figure", {}, cut(result), element("figcaption", {}, t("verdict.place.after"))),
      element("button", { type: "button", class: "quiet", onclick: () => lookAt(place) }, t("verdict.place.look")),
    ),
  );
}

function findPlace(original, mask) {
  const scale = Math.min(1, ANALYSED / Math.max(original.naturalWidth, original.naturalHeight));
  const width = Math.max(1, Math.round(original.naturalWidth * scale));
  const height = Math.max(1, Math.round(original.naturalHeight * scale));
  return mostVisiblePlace(pixels(original, width, height), pixels(mask, width, height), Math.min(PLACE_SIDE, width, height));
}

function pixels(picture, width, height) {
  const canvas = element("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

function cutout(picture, { x, y }) {
  const canvas = element("canvas", { "aria-hidden": "true", width: CUTOUT, height: CUTOUT });
  const clamp = (centre, side) => Math.max(0, Math.min(centre * side - CUTOUT / 2, side - CUTOUT));
  const [left, top] = [clamp(x, picture.naturalWidth), clamp(y, picture.naturalHeight)];
  canvas.getContext("2d").drawImage(picture, left, top, CUTOUT, CUTOUT, 0, 0, CUTOUT, CUTOUT);
  return canvas;
}

/** Return the URL of the file itself, or of a preview where it is large or browsers cannot show it. */
function picturePath(job, layers, stage) {
  const { media_type: type } = layers.find((layer) => layer.stage === stage);
  const isShown = Math.max(...layers[0].processing_size) <= MAX_PREVIEW && type !== NOT_SHOWN;
  return layerPath(job.job_id, stage, isShown ? null : MAX_PREVIEW);
}

/** Return a loaded image, null if it cannot be shown. */
async function loadImage(src) {
  const image = element("img", { src });
  try {
    await image.decode();
    return image;
  } catch {
    return null;
  }
}

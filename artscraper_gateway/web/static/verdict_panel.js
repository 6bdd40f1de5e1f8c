/** The verdict in three short lines: can it be seen, does it do something, faces. */
import { layerPath } from "./api.js";
import { NOT_SHOWN } from "./comparison.js";
import { element } from "./dom.js";
import { t } from "./strings.js";
import { effectLevel, faceResults, visibilityLevel } from "./verdict.js";

const SIGNS = { good: "✓", middling: "!", bad: "✕", neutral: "–" };
const VISIBILITY_SIGN = { nothing: "neutral", no: "good", hardly: "good", yes: "middling" };
const EFFECT_SIGN = { none: "neutral", tiny: "neutral", noise: "bad", little: "middling", yes: "good" };
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
  const [x, y] = last.metrics?.visibility_place ?? [];
  if (x === undefined) return; // measured by an earlier release
  const stages = ["original", last.stage];
  const [original, result] = await Promise.all(stages.map((stage) => loadImage(picturePath(job, layers, stage))));
  if (!original || !result) return;
  const place = { x, y };
  const cut = (picture) => cutout(picture, place);
  seen.lastChild.append(
    element("p", {}, t("verdict.place")),
    element(
      "div",
      { class: "place" },
      element("figure", {}, cut(original), element("figcaption", {}, t("verdict.place.before"))),
      element("figure", {}, cut(result), element("figcaption", {}, t("verdict.place.after"))),
      element("button", { type: "button", class: "quiet", onclick: () => lookAt(place) }, t("verdict.place.look")),
    ),
  );
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

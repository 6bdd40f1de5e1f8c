/** Strength with a preview: a crop of the first picture, protected at each strength.
 *
 * Nothing is sent before the button is pressed.
 */
import { announce } from "./announcer.js";
import { byId, element } from "./dom.js";
import { STRENGTHS, chosenOptions, previewStages } from "./options_form.js";
import { protectCrop, setUpPreviewJobs } from "./preview_jobs.js";
import { problemMessage } from "./problems.js";
import { smoothestSquare } from "./smooth_place.js";
import { t } from "./strings.js";

const SIDE = 256; // px of the crop
const MAP_SIDE = 420; // px of the longer side of the picture to choose the place on
const STEP = 0.05; // of the picture's side, by which keys move the square
const SETTLE_MS = 500; // after the square has moved
let current = null; // { file, picture, side, left, top, isShown }
let run = 0; // results of earlier runs are dropped
let settling = null;

/** Offer a preview of `file`, if the browser can read it. */
export async function showPreviewOf(file) {
  if (current?.file === file) return;
  hidePreview();
  const mine = { file };
  current = mine;
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    return; // such as TIFF: protected all the same
  }
  if (current !== mine) return;
  Object.assign(mine, { picture, side: Math.min(SIDE, picture.width, picture.height), isShown: false });
  drawMap();
  byId("preview").hidden = false;
}

export function hidePreview() {
  run += 1;
  current?.picture?.close();
  current = null;
  clearTimeout(settling);
  byId("preview").hidden = true;
  clearTiles();
}

function clearTiles() {
  byId("preview-error").replaceChildren();
  for (const tile of document.querySelectorAll("#preview [data-strength]")) {
    tile.querySelector(".tile-picture").replaceChildren();
    tile.classList.remove("busy");
  }
}

function drawMap() {
  const { picture, side } = current;
  const scale = Math.min(1, MAP_SIDE / Math.max(picture.width, picture.height));
  const map = byId("preview-map");
  map.width = Math.max(1, Math.round(picture.width * scale));
  map.height = Math.max(1, Math.round(picture.height * scale));
  const context = map.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0, map.width, map.height);
  const pixels = context.getImageData(0, 0, map.width, map.height);
  const square = Math.max(1, Math.floor(side * scale));
  const { left, top } = smoothestSquare(pixels, square);
  moveTo(left / scale, top / scale);
}

/** Move the square; `left` and `top` in px of the picture. */
function moveTo(left, top) {
  const { picture, side } = current;
  const clamp = (value, most) => Math.round(Math.min(Math.max(0, value), most));
  current.left = clamp(left, picture.width - side);
  current.top = clamp(top, picture.height - side);
  const frame = byId("preview-frame");
  frame.style.left = `${(current.left / picture.width) * 100}%`;
  frame.style.top = `${(current.top / picture.height) * 100}%`;
  frame.style.width = `${(side / picture.width) * 100}%`;
  frame.style.height = `${(side / picture.height) * 100}%`;
  const share = (value, most) => (most ? Math.round((value / most) * 100) : 0);
  frame.setAttribute("aria-valuenow", share(current.left, picture.width - side));
  frame.setAttribute("aria-valuetext", t("preview.place", {
    x: share(current.left, picture.width - side),
    y: share(current.top, picture.height - side),
  }));
  byId("preview-original").replaceChildren(cropCanvas());
  if (!current.isShown) return;
  clearTimeout(settling);
  settling = setTimeout(showStrengths, SETTLE_MS);
}

function cropCanvas() {
  const { picture, side, left, top } = current;
  const canvas = element("canvas", { role: "img", "aria-label": t("preview.original") });
  canvas.width = canvas.height = side;
  canvas.getContext("2d").drawImage(picture, left, top, side, side, 0, 0, side, side);
  return canvas;
}

async function showStrengths() {
  const stages = previewStages();
  run += 1;
  const mine = run;
  clearTiles();
  if (!stages.length) {
    byId("preview-error").textContent = t("preview.no_stage");
    return;
  }
  current.isShown = true;
  const crop = await new Promise((resolve) => { cropCanvas().toBlob(resolve, "image/png"); });
  const tiles = STRENGTHS.map((strength) => [strength, document.querySelector(`#preview .tile[data-strength="${strength}"]`)]);
  for (const [, tile] of tiles) tile.classList.add("busy");
  try {
    await Promise.all(tiles.map(async ([strength, tile]) => {
      const picture = await createImageBitmap(await protectCrop(crop, strength, stages));
      if (mine === run) showInTile(tile, picture, strength);
    }));
    if (mine === run) announce(t("preview.ready"));
  } catch (problem) {
    if (mine !== run) return;
    clearTiles();
    byId("preview-error").replaceChildren(problemMessage(problem));
  }
}

function showInTile(tile, picture, strength) {
  const label = t("preview.alt", { strength: t(`strength.${strength}`) });
  const canvas = element("canvas", { role: "img", "aria-label": label });
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.getContext("2d").drawImage(picture, 0, 0);
  tile.querySelector(".tile-picture").replaceChildren(canvas);
  tile.classList.remove("busy");
}

export function setUpPreview() {
  setUpPreviewJobs();
  byId("preview-show").addEventListener("click", showStrengths);
  const frame = byId("preview-frame");
  const map = byId("preview-map");
  const moveToPointer = (event) => {
    const box = map.getBoundingClientRect();
    const { picture, side } = current;
    moveTo(
      ((event.clientX - box.left) / box.width) * picture.width - side / 2,
      ((event.clientY - box.top) / box.height) * picture.height - side / 2,
    );
  };
  const area = map.parentElement;
  area.addEventListener("pointerdown", (event) => {
    area.setPointerCapture(event.pointerId);
    moveToPointer(event);
  });
  area.addEventListener("pointermove", (event) => {
    if (area.hasPointerCapture(event.pointerId)) moveToPointer(event);
  });
  frame.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const [x, y] = moves[event.key];
    moveTo(current.left + x * STEP * current.picture.width, current.top + y * STEP * current.picture.height);
  });
}

/** Strength with a preview: a crop of the first picture, protected at each strength.
 *
 * Nothing of the picture is sent before the button is pressed. What is sent then is not kept.
 */
import { announce } from "./announcer.js";
import { fetchFile, request } from "./api.js";
import { byId, element } from "./dom.js";
import { STRENGTHS, chosenOptions } from "./options_form.js";
import { problemMessage } from "./problems.js";
import { smoothestSquare } from "./smooth_place.js";
import { t } from "./strings.js";

const PREVIEWS = "v1/strength-previews";
const SIDE = 256; // px of the crop
const WORKED_ON = 512; // px of the short side at which large pictures are changed
const WORKED_PART = 192; // px of a part at that size: enough around the crop, and quick
const MAP_SIDE = 420; // px of the longer side of the picture to choose the place on
const STEP = 0.05; // of the picture's side, by which keys move the square
const SETTLE_MS = 500; // after the square has moved
let current = null; // { file, picture, side, left, top, isShown }
let run = new AbortController(); // results of earlier runs are dropped
let settling = null;
let choices = null; // what the gateway can preview

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
  prepare();
}

/** Let the gateway get ready; without its answer there is none to the button either. */
async function prepare() {
  try {
    choices = await request(PREVIEWS);
  } catch (problem) {
    if (problem.code === "forbidden") hidePreview(); // a key that may not send pictures
  }
}

export function hidePreview() {
  run.abort();
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

function cropCanvas({ side, left, top } = current) {
  const { picture } = current;
  const canvas = element("canvas", { role: "img", "aria-label": t("preview.original") });
  canvas.width = canvas.height = side;
  canvas.getContext("2d").drawImage(picture, left, top, side, side, 0, 0, side, side);
  return canvas;
}

async function showStrengths() {
  run.abort();
  run = new AbortController();
  const { signal } = run;
  clearTiles();
  const tiles = STRENGTHS.map((strength) => [strength, document.querySelector(`#preview .tile[data-strength="${strength}"]`)]);
  for (const [, tile] of tiles) tile.classList.add("busy");
  current.isShown = true;
  try {
    choices ??= await request(PREVIEWS);
    const stages = chosenOptions().stages.filter((stage) => choices.stages.includes(stage));
    if (!stages.length) {
      showPreviewProblem(t("preview.no_stage"));
      return;
    }
    const part = partAround();
    const file = await new Promise((resolve) => { cropCanvas(part).toBlob(resolve, "image/png"); });
    await Promise.all(tiles.map(async ([strength, tile]) => {
      const picture = await createImageBitmap(await protectPart(file, { strength, stages, signal }));
      if (!signal.aborted) showInTile(tile, { picture, part }, strength);
    }));
    if (!signal.aborted) announce(t("preview.ready"));
  } catch (problem) {
    if (signal.aborted) return;
    run.abort(); // the other strengths, too
    showPreviewProblem(problemMessage(problem));
  }
}

function showPreviewProblem(message) {
  clearTiles();
  byId("preview-error").replaceChildren(message);
}

/** Return what is sent: the crop, and of large pictures what lies around it. */
function partAround() {
  const { picture, side, left, top } = current;
  const shortest = Math.min(picture.width, picture.height);
  const wanted = Math.round((WORKED_PART * shortest) / WORKED_ON);
  const partSide = Math.min(choices.max_side, shortest, Math.max(side, wanted));
  const around = Math.round((partSide - side) / 2);
  const clamp = (value, most) => Math.min(Math.max(0, value), most);
  return {
    side: partSide,
    left: clamp(left - around, picture.width - partSide),
    top: clamp(top - around, picture.height - partSide),
    crop: { left, top, side },
  };
}

function protectPart(file, { strength, stages, signal }) {
  const form = new FormData();
  form.append("file", file, "part.png");
  const { width, height } = current.picture;
  for (const [name, value] of Object.entries({ strength, stages, width, height })) form.append(name, value);
  return fetchFile(PREVIEWS, { method: "POST", form, signal });
}

function showInTile(tile, { picture, part }, strength) {
  const { side, left, top } = part.crop;
  const label = t("preview.alt", { strength: t(`strength.${strength}`) });
  const canvas = element("canvas", { role: "img", "aria-label": label, width: side, height: side });
  canvas.getContext("2d").drawImage(picture, part.left - left, part.top - top);
  tile.querySelector(".tile-picture").replaceChildren(canvas);
  tile.classList.remove("busy");
}

export function setUpPreview() {
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

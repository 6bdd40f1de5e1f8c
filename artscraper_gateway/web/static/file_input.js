/** Accept pictures that are chosen, pasted, or dropped anywhere on the page, also in folders. */
import { byId } from "./dom.js";
import { t } from "./strings.js";

const MAX_FILES = 1000;
const PICTURE_NAME = /\.(jpe?g|jfif|png|webp|tiff?|gif|bmp|avif)$/i;

/** Call `take(files)` for files chosen with the field `id`. */
export function onChosen(id, take) {
  const input = byId(id);
  input.addEventListener("change", () => {
    const files = [...input.files];
    take(input.webkitdirectory ? picturesOf(files) : files);
    input.value = "";
  });
}

/** Call `take(files)` for pasted files while `isActive()`. */
export function onPasted(isActive, take) {
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length || !isActive()) return;
    event.preventDefault();
    take(files.map(renamePasted));
  });
}

/** Browsers name every pasted picture image.png. */
function renamePasted(file) {
  if (!/^image\.\w+$/.test(file.name)) return file;
  return new File([file], `${t("pasted")}.${file.name.split(".").at(-1)}`, { type: file.type });
}

/** Call `take(files, zone)` for files dropped on the page; `zone` is the `data-drop` below them. */
export function onDropped(overlay, take) {
  let depth = 0; // of nested dragenter events
  const show = (visible) => {
    if (!visible) depth = 0;
    overlay.hidden = !visible;
    highlight(overlay, null);
  };
  window.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    if (depth === 1) show(true);
  });
  window.addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    depth -= 1;
    if (depth <= 0) show(false);
  });
  window.addEventListener("dragover", (event) => {
    event.preventDefault(); // also off the page's parts: a dropped picture must not replace the page
    if (hasFiles(event)) highlight(overlay, event.target);
  });
  window.addEventListener("drop", async (event) => {
    event.preventDefault();
    const zone = event.target.closest?.("[data-drop]")?.dataset.drop ?? "";
    show(false);
    const files = await droppedFiles(event.dataTransfer);
    if (files.length || event.dataTransfer.types.includes("Files")) take(files, zone);
  });
}

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

function highlight(overlay, target) {
  const zone = target?.closest?.("[data-drop]");
  for (const each of overlay.querySelectorAll("[data-drop]")) each.classList.toggle("over", each === zone);
}

/** Return the files of a drop; of folders only pictures, in the order of their names. */
async function droppedFiles(transfer) {
  // Entries are valid only until the event has been handled: collect them before any await.
  const entries = [...transfer.items]
    .filter((item) => item.kind === "file")
    .map((item) => ({ entry: item.webkitGetAsEntry?.(), file: item.getAsFile() }));
  const files = [];
  for (const { entry, file } of entries) {
    if (entry?.isDirectory) files.push(...picturesOf(await filesBelow(entry)));
    else if (file) files.push(file);
  }
  return files.slice(0, MAX_FILES);
}

async function filesBelow(folder) {
  const files = [];
  const folders = [folder];
  while (folders.length && files.length < MAX_FILES) {
    const reader = folders.shift().createReader();
    for (let batch = await readEntries(reader); batch.length; batch = await readEntries(reader)) {
      folders.push(...batch.filter((entry) => entry.isDirectory));
      for (const entry of batch.filter((each) => each.isFile)) files.push(await fileOf(entry));
    }
  }
  return files.filter(Boolean);
}

const readEntries = (reader) => new Promise((resolve) => { reader.readEntries(resolve, () => resolve([])); });
const fileOf = (entry) => new Promise((resolve) => { entry.file(resolve, () => resolve(null)); });

const picturesOf = (files) =>
  files
    .filter((file) => !file.name.startsWith(".") && (file.type.startsWith("image/") || PICTURE_NAME.test(file.name)))
    .sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }))
    .slice(0, MAX_FILES);

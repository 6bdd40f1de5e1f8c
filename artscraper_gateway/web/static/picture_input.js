/** Pictures come in by dropping, choosing or pasting. */
import { find } from "./elements.js";
import { say } from "./strings.js";

/** Calls `take(files)` for what comes in through a place to drop on and its file field. */
export function takePictures({ drop, field, screen, take }) {
  const place = find(drop);
  const input = find(field);
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = "";
  });
  let inside = 0; // of the place and what lies in it
  const shown = (change) => {
    inside = Math.max(0, inside + change);
    place.classList.toggle("over", inside > 0);
  };
  place.addEventListener("dragenter", () => shown(1));
  place.addEventListener("dragleave", () => shown(-1));
  place.addEventListener("dragover", (event) => event.preventDefault());
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    shown(-inside);
    take([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (document.body.dataset.screen !== screen || !files.length) return;
    event.preventDefault();
    take(files.map(named));
  });
}

/** Pasted pictures are all called image.png. */
function named(file) {
  if (!/^image\.\w+$/.test(file.name)) return file;
  return new File([file], `${say("pasted")}.${file.name.split(".").at(-1)}`, { type: file.type });
}

/** A picture that is dropped beside the place must not replace the page. */
export function ignoreStrayDrops() {
  for (const kind of ["dragover", "drop"]) {
    window.addEventListener(kind, (event) => event.preventDefault());
  }
}

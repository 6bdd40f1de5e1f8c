/** Announce changes to screen readers. */
import { byId } from "./dom.js";

const GAP_MS = 80; // screen readers announce changes only: the same text twice needs a gap
let timer = null;

export function announce(text) {
  const region = byId("announcer");
  clearTimeout(timer);
  region.textContent = "";
  timer = setTimeout(() => { region.textContent = text; }, GAP_MS);
}

/** Tells those who do not see the page what has happened. */
import { find } from "./elements.js";

let last = null;

export function announce(text) {
  const place = find("announcer");
  clearTimeout(last);
  place.textContent = "";
  // A screen reader speaks of changes only: the same words twice need an empty moment between.
  last = setTimeout(() => { place.textContent = text; }, 80);
}

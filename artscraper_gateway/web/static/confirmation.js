/** Asks before something is done that cannot be undone. */
import { find } from "./elements.js";

export function confirmed(words, yes) {
  const dialog = find("confirm");
  find("confirm-words").textContent = words;
  find("confirm-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

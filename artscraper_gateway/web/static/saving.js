/** Saves a layer under the picture's own name; the gateway knows no names. */
import { element } from "./elements.js";
import { Problem } from "./gateway.js";

/** Makes the link fetch its file and save it as `name()`; `failed(problem)` is told otherwise. */
export function savesAs(link, name, failed) {
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    try {
      const answer = await fetch(link.href);
      if (!answer.ok) throw new Problem(await answer.json());
      save(await answer.blob(), name());
    } catch (problem) {
      failed(problem instanceof Problem ? problem : new Problem({}));
    }
  });
  return link;
}

function save(content, name) {
  const address = URL.createObjectURL(content);
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** What became of each part of the file: the notes of summary.json, whose sentences are English. */
import { element } from "./dom.js";
import { hasText, t } from "./strings.js";

const ACTIONS = ["dropped", "changed", "kept"];

/** Return a section with every note in full, or an empty text without notes. */
export function fileNotes(notes) {
  const items = ACTIONS.flatMap((action) => (notes ?? []).filter((note) => note.action === action)).map(noteItem);
  if (!items.length) return "";
  return element("section", {}, element("h3", {}, t("details.file")), element("ul", { class: "sentences" }, ...items));
}

function noteItem({ subject, action, detail }) {
  const name = hasText(`subject.${subject}`) ? t(`subject.${subject}`) : subject;
  return element("li", {}, `${t(`details.file.${action}`, { subject: name })} `, element("span", { lang: "en" }, detail));
}

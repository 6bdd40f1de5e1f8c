/** What became of everything that the file held: the notes of summary.json as sentences. */
import { request } from "./api.js";
import { element } from "./dom.js";
import { cleanName } from "./names.js";
import { serverText } from "./problems.js";
import { formatNumber, hasText, language, t } from "./strings.js";

const ACTIONS = ["dropped", "changed", "kept"];
let loading = null; // of the translations: English sentences, and those of the page's language

/** Return the section; its sentences appear when their translations are here. */
export function fileNotes(notes) {
  if (!notes?.length) return "";
  const section = element("section", { class: "file-notes" }, element("h3", {}, t("details.notes")));
  showNotes(section, notes);
  return section;
}

async function showNotes(section, notes) {
  loading ??= request(`strings/notes/${language}.json`);
  const translations = Object.entries(await loading.catch(() => ({})));
  for (const action of ACTIONS) {
    const items = notes.filter((note) => note.action === action).map((note) => item(note, translations));
    if (!items.length) continue;
    section.append(element("h4", {}, t(`note.${action}`)), element("ul", { class: "sentences" }, ...items));
  }
}

/** Names in a note are the sender's: what could disguise them is left out. */
function item({ subject, detail }, translations) {
  const clean = cleanName(detail, Infinity);
  const sentence = language === "en" ? clean : translate(clean, translations);
  const about = hasText(`subject.${subject}`) ? t(`subject.${subject}`) : subject;
  return element("li", {}, element("b", {}, `${about}:`), " ", sentence === null ? serverText(clean) : element("bdi", {}, sentence));
}

/** Return the text in the page's language, null if its sentence is not known. */
function translate(text, translations) {
  for (const [source, target] of translations) {
    const values = matchTemplate(source, text);
    if (!values) continue;
    return target.replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name];
      if (/^\d+\.\d+$/.test(value)) return formatNumber(Number(value), 1);
      return translate(value, translations) ?? value;
    });
  }
  return null;
}

/** Return the values of the {names} in the template `source`, null if `text` is not made of it. */
function matchTemplate(source, text) {
  const escaped = source.replace(/[.*+?^$()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replace(/\{(\w+)\}/g, "(?<$1>.+?)")}$`).exec(text)?.groups ?? (source === text ? {} : null);
}

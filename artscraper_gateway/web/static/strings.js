/** The page's texts, all from strings/<language>.json, and numbers as the language writes them. */
const language = document.documentElement.lang;
const plural = new Intl.PluralRules(language);
const decimal = new Intl.NumberFormat(language, { maximumFractionDigits: 2 });
let texts = {};

export async function loadStrings() {
  const answer = await fetch(`strings/${language}.json`, { credentials: "include" });
  texts = await answer.json();
}

export const knows = (key) => key in texts;

/** Returns the text of `key` with {names} filled in; its form follows `values.count`. */
export function say(key, values = {}) {
  let text = texts[key];
  if (text === undefined) throw new Error(`no text for ${key}`);
  if (typeof text === "object") text = text[plural.select(values.count)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? decimal.format(value) : value;
  });
}

export const stageName = (stage) => (knows(`stage.${stage}`) ? say(`stage.${stage}`) : stage);

export const number = (value, digits = 2) =>
  new Intl.NumberFormat(language, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);

export const percent = (share) =>
  new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(share);

export const moment = (text) =>
  new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(
    new Date(text),
  );

export function bytes(count) {
  const [unit, size] = count >= 2 ** 30 ? ["GiB", 2 ** 30] : count >= 2 ** 20 ? ["MiB", 2 ** 20] : ["KiB", 1024];
  const format = new Intl.NumberFormat(language, { maximumFractionDigits: count < 10 * size ? 1 : 0 });
  return `${format.format(count / size)} ${unit}`;
}

export function duration(seconds) {
  if (seconds >= 2 * 86400) return say("duration.days", { count: Math.round(seconds / 86400) });
  if (seconds >= 2 * 3600) return say("duration.hours", { count: Math.round(seconds / 3600) });
  return say("duration.minutes", { count: Math.max(1, Math.round(seconds / 60)) });
}

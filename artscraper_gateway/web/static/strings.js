/** Texts from strings/<language>.json, and numbers in the format of the language. */
export const language = document.documentElement.lang;
const plural = new Intl.PluralRules(language);
const decimal = new Intl.NumberFormat(language, { maximumFractionDigits: 2 });
let texts = {};

export async function loadStrings() {
  const response = await fetch(`strings/${language}.json`, { credentials: "include" });
  texts = await response.json();
}

export const hasText = (key) => key in texts;

/** Return the text of `key` with {names} filled in; `values.count` selects the plural form. */
export function t(key, values = {}) {
  let text = texts[key];
  if (text === undefined) throw new Error(`no text for ${key}`);
  if (typeof text === "object") text = text[plural.select(values.count)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? decimal.format(value) : value;
  });
}

export const stageName = (stage) => (hasText(`stage.${stage}`) ? t(`stage.${stage}`) : stage);

export const formatNumber = (value, digits = 2) =>
  new Intl.NumberFormat(language, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);

export const formatPercent = (share) =>
  new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(share);

export const formatTime = (text) =>
  new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(
    new Date(text),
  );

export function formatBytes(count) {
  const [unit, size] = count >= 1e9 ? ["GB", 1e9] : count >= 1e6 ? ["MB", 1e6] : ["kB", 1e3];
  const format = new Intl.NumberFormat(language, { maximumFractionDigits: count < 10 * size ? 1 : 0 });
  return `${format.format(count / size)} ${unit}`;
}

/** Return a duration in words, from seconds to days. */
export function formatDuration(seconds) {
  if (seconds >= 2 * 86400) return t("duration.days", { count: Math.round(seconds / 86400) });
  if (seconds >= 2 * 3600) return t("duration.hours", { count: Math.round(seconds / 3600) });
  if (seconds >= 90) return t("duration.minutes", { count: Math.round(seconds / 60) });
  return t("duration.seconds", { count: Math.max(1, Math.round(seconds)) });
}

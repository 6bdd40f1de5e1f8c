/** Problems in plain words, with the next step. */
import { element } from "./dom.js";
import { formatBytes, hasText, t } from "./strings.js";

const WITH_DETAIL = ["invalid-request", "download-failed", "broken-picture"];
const TEMPORARY = ["unreachable", "queue-full", "rate-limited", "too-busy", "storage-failed", "internal-error"];
let limits = null;

export const setLimits = (values) => { limits = values; };

/** Return whether the same submission may succeed later. */
export const isTemporary = (problem) => TEMPORARY.includes(problem.code);

/** Return an element that says what happened and what to do next. */
export function problemMessage(problem) {
  const code = hasText(`problem.${problem.code}`) ? problem.code : "internal-error";
  const values = limits && {
    bytes: formatBytes(limits.max_upload_bytes),
    megapixels: limits.max_pixels / 1e6,
    side: limits.max_side,
  };
  const wait = problem.retryAfter ? ` ${t("problem.retry_in", { count: problem.retryAfter })}` : "";
  return element(
    "div",
    { class: "problem" },
    element("p", {}, element("b", {}, t(`problem.${code}`))),
    element("p", {}, t(`problem.${code}.next`, values ?? {}) + wait),
    WITH_DETAIL.includes(code) && problem.detail ? serverText(problem.detail) : null,
  );
}

/** Texts of the gateway are English: shown on demand, and marked as English. */
export function serverText(text) {
  return element(
    "details",
    { class: "hint" },
    element("summary", {}, t("problem.detail")),
    element("span", { lang: "en" }, text),
  );
}

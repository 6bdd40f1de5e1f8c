/** Problems in a painter's words, and what to do next. */
import { element } from "./elements.js";
import { bytes, knows, say } from "./strings.js";

let limits = null;
export const setLimits = (known) => { limits = known; };

/** Returns an element that says what happened and what to do, made from the problem's code. */
export function told(problem) {
  const code = knows(`problem.${problem.code}`) ? problem.code : "internal-error";
  const values = limits && {
    bytes: bytes(limits.max_upload_bytes),
    megapixels: limits.max_pixels / 1e6,
    side: limits.max_side,
  };
  const wait = problem.retryAfter
    ? ` ${say("problem.retry_in", { count: problem.retryAfter })}`
    : "";
  const useful = ["invalid-request", "download-failed", "broken-picture"].includes(code);
  return element(
    "div",
    { class: "trouble" },
    element("p", {}, element("b", {}, say(`problem.${code}`))),
    element("p", {}, say(`problem.${code}.next`, values ?? {}) + wait),
    useful && problem.detail
      ? element("p", { class: "hint" }, say("problem.detail", { detail: problem.detail }))
      : null,
  );
}

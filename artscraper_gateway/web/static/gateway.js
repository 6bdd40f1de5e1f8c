/** The gateway's calls. Every failure is a `Problem`; addresses are relative to the page. */
export class Problem extends Error {
  constructor({ status = 0, code = "unreachable", detail = "" }, retryAfter = null) {
    super(detail || code);
    Object.assign(this, { status, code, detail, retryAfter });
  }
}

let csrfToken = null;
export const setCsrfToken = (token) => { csrfToken = token; };

export async function ask(path, { method = "GET", json, form } = {}) {
  const headers = { Accept: "application/json" };
  if (json) headers["Content-Type"] = "application/json";
  if (csrfToken && method !== "GET") headers["X-CSRF-Token"] = csrfToken;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: json ? JSON.stringify(json) : form });
  } catch {
    throw new Problem({});
  }
  const text = await answer.text();
  if (!answer.ok) throw problemOf(answer.status, text, answer.headers.get("Retry-After"));
  return JSON.parse(text);
}

/** Sends a form or JSON to POST v1/jobs and returns the job; `onProgress` gets 0..1. */
export function submit({ form, json, idempotencyKey, onProgress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "v1/jobs");
    request.setRequestHeader("Idempotency-Key", idempotencyKey);
    if (csrfToken) request.setRequestHeader("X-CSRF-Token", csrfToken);
    if (json) request.setRequestHeader("Content-Type", "application/json");
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    request.addEventListener("error", () => reject(new Problem({})));
    request.addEventListener("load", () => {
      const { status, responseText } = request;
      if (status < 300) resolve(JSON.parse(responseText));
      else reject(problemOf(status, responseText, request.getResponseHeader("Retry-After")));
    });
    request.send(json ? JSON.stringify(json) : form);
  });
}

/** A proxy before the gateway may answer in HTML: then the status has to do. */
function problemOf(status, text, retryAfter) {
  let said = {};
  try {
    said = JSON.parse(text);
  } catch {
    said = { code: { 413: "too-large", 429: "too-busy", 401: "unauthorized" }[status] };
  }
  const problem = new Problem(
    { status, code: said.code ?? (status >= 502 ? "unreachable" : "internal-error"), detail: said.detail },
    retryAfter === null ? null : Number(retryAfter),
  );
  if (status === 401) window.dispatchEvent(new CustomEvent("signed-out"));
  return problem;
}

export const layerPath = (jobId, stage, size) =>
  `v1/jobs/${jobId}/layers/${stage}${size ? `?size=${size}` : ""}`;
export const maskPath = (jobId, stage) => `v1/jobs/${jobId}/masks/${stage}`;
export const archivePath = (jobId) => `v1/jobs/${jobId}/archive.zip`;

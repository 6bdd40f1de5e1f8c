/** Calls of the gateway. Every failure is a `Problem`; URLs are relative to the page. */
export class Problem extends Error {
  constructor({ status = 0, code = "unreachable", detail = "" }, retryAfter = null) {
    super(detail || code);
    Object.assign(this, { status, code, detail, retryAfter });
  }
}

let csrfToken = null;
export const setCsrfToken = (token) => { csrfToken = token; };

/** Return the JSON that the gateway answers. */
export async function request(path, options = {}) {
  return (await send(path, options)).json();
}

/** Return a file of the gateway as a blob. */
export async function fetchFile(path, options = {}) {
  return (await send(path, options)).blob();
}

async function send(path, { method = "GET", json, form, signal }) {
  const headers = csrfHeaders(method);
  if (json) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, signal, body: json ? JSON.stringify(json) : form });
  } catch {
    throw new Problem({});
  }
  if (response.ok) return response;
  throw problemFrom(response.status, await response.text(), response.headers.get("Retry-After"));
}

const csrfHeaders = (method) => (csrfToken && method !== "GET" ? { "X-CSRF-Token": csrfToken } : {});

export const deleteJob = (jobId) => request(jobPath(jobId), { method: "DELETE" });

/** Delete a job while the page is being closed, when no answer can be waited for. */
export function deleteJobOnExit(jobId) {
  fetch(jobPath(jobId), { method: "DELETE", headers: csrfHeaders("DELETE"), keepalive: true });
}

/** Send a form or JSON to POST v1/jobs and return the job; `onProgress` receives 0..1. */
export function submitJob({ form, json, idempotencyKey, onProgress = () => {} }) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open("POST", "v1/jobs");
    xhr.setRequestHeader("Idempotency-Key", idempotencyKey);
    if (csrfToken) xhr.setRequestHeader("X-CSRF-Token", csrfToken);
    if (json) xhr.setRequestHeader("Content-Type", "application/json");
    xhr.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onProgress(event.loaded / event.total);
    });
    xhr.addEventListener("error", () => reject(new Problem({})));
    xhr.addEventListener("load", () => {
      const { status, responseText } = xhr;
      if (status < 300) resolve(JSON.parse(responseText));
      else reject(problemFrom(status, responseText, xhr.getResponseHeader("Retry-After")));
    });
    xhr.send(json ? JSON.stringify(json) : form);
  });
}

/** A submission repeated with the same key, after a lost answer, is accepted once. */
export const newIdempotencyKey = () =>
  Array.from(crypto.getRandomValues(new Uint32Array(4)), String).join("-");

/** A proxy in front of the gateway may answer in HTML: then the status decides. */
function problemFrom(status, text, retryAfter) {
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = { code: { 413: "too-large", 429: "too-busy", 401: "unauthorized" }[status] };
  }
  if (status === 401) window.dispatchEvent(new CustomEvent("signed-out"));
  return new Problem(
    { status, code: body.code ?? (status >= 502 ? "unreachable" : "internal-error"), detail: body.detail },
    retryAfter === null ? null : Number(retryAfter),
  );
}

export const jobPath = (jobId) => `v1/jobs/${jobId}`;
export const layerPath = (jobId, stage, size) =>
  `v1/jobs/${jobId}/layers/${stage}${size ? `?size=${size}` : ""}`;
export const maskPath = (jobId, stage) => `v1/jobs/${jobId}/masks/${stage}`;
export const archivePath = (jobId) => `v1/jobs/${jobId}/archive.zip`;

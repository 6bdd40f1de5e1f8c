/** Changes of jobs, by server-sent events over one connection. */
import { announce } from "./announcer.js";
import { byId } from "./dom.js";
import { t } from "./strings.js";

const MAX_JOBS = 100; // of one stream
const RETRY_MS = 3000;
const KINDS = ["snapshot", "stage", "progress", "queue", "done", "error", "deleted"];
const followed = new Map(); // job id -> { since, priority, listeners }
let source = null;
let planned = null;
let isLost = false;

/** Call `listener(kind, change)` for each change of the job, until the returned function is called. */
export function follow({ job_id: jobId, submitted_at: since, priority = 0 }, listener) {
  if (!followed.has(jobId)) {
    followed.set(jobId, { since, priority, listeners: new Set() });
    plan();
  }
  const { listeners } = followed.get(jobId);
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (!listeners.size) followed.delete(jobId);
    if (!followed.size) close();
  };
}

function plan(delay = 30) {
  clearTimeout(planned);
  planned = setTimeout(open, delay);
}

function close() {
  source?.close();
  source = null;
}

function open() {
  close();
  if (!followed.size || document.hidden) return;
  // In the order of the queue: the stream reports the places of the first jobs.
  const inOrder = [...followed].sort(
    ([, a], [, b]) => b.priority - a.priority || (a.since < b.since ? -1 : 1),
  );
  const ids = inOrder.slice(0, MAX_JOBS).map(([id]) => id);
  source = new EventSource(`v1/events?${ids.map((id) => `job=${id}`).join("&")}`);
  source.addEventListener("open", () => showConnection(false));
  for (const kind of KINDS) source.addEventListener(kind, (event) => receive(kind, event));
}

/** "error" is also the browser's own event for a broken connection: that one has no data. */
function receive(kind, event) {
  if (event.data === undefined) {
    showConnection(true);
    if (source?.readyState === EventSource.CLOSED) plan(RETRY_MS);
    return;
  }
  const change = JSON.parse(event.data);
  for (const listener of [...(followed.get(change.job_id)?.listeners ?? [])]) listener(kind, change);
}

function showConnection(lost) {
  if (lost === isLost) return;
  isLost = lost;
  const notice = byId("connection");
  notice.hidden = !lost;
  notice.textContent = lost ? t("connection.lost") : "";
  if (!lost) {
    announce(t("connection.back"));
    window.dispatchEvent(new CustomEvent("gateway-is-back"));
  }
}

document.addEventListener("visibilitychange", () => (document.hidden ? close() : plan()));

/** What happens to jobs, by server-sent events over one connection. */
import { find } from "./elements.js";
import { announce } from "./announcer.js";
import { say } from "./strings.js";

const AT_MOST = 100; // jobs of one stream
const RETRY_MS = 3000;
const NAMES = ["snapshot", "stage", "progress", "queue", "done", "error", "deleted"];
const followed = new Map(); // job id -> { since, listeners }
let source = null;
let planned = null;
let lost = false;

/** Calls `listener(kind, change)` for each change of the job until the returned function is. */
export function follow({ job_id: jobId, submitted_at: since }, listener) {
  if (!followed.has(jobId)) {
    followed.set(jobId, { since, listeners: new Set() });
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
  // The oldest run first, so that there is most to tell of them.
  const oldestFirst = [...followed].sort(([, a], [, b]) => (a.since < b.since ? -1 : 1));
  const ids = oldestFirst.slice(0, AT_MOST).map(([id]) => id);
  source = new EventSource(`v1/events?${ids.map((id) => `job=${id}`).join("&")}`);
  source.addEventListener("open", () => tell(false));
  for (const kind of NAMES) source.addEventListener(kind, (event) => receive(kind, event));
}

/** "error" is also the browser's own name for a connection that broke: that one has no data. */
function receive(kind, event) {
  if (event.data === undefined) {
    tell(true);
    if (source?.readyState === EventSource.CLOSED) plan(RETRY_MS);
    return;
  }
  const change = JSON.parse(event.data);
  for (const listener of [...(followed.get(change.job_id)?.listeners ?? [])]) listener(kind, change);
}

/** The stream's end is no loss when all of its jobs have ended. */
function tell(isLost) {
  if (isLost === lost) return;
  lost = isLost;
  const place = find("connection");
  place.hidden = !lost;
  place.textContent = lost ? say("connection.lost") : "";
  if (!lost) {
    announce(say("connection.back"));
    window.dispatchEvent(new CustomEvent("gateway-is-back"));
  }
}

document.addEventListener("visibilitychange", () => (document.hidden ? close() : plan()));

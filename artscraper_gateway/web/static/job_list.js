/** The list of jobs: those of the gateway, newest first, live. */
import { announce } from "./announcer.js";
import { element, find } from "./elements.js";
import { ask } from "./gateway.js";
import { announceEnd, isOpen } from "./job_actions.js";
import { JobRow } from "./job_row.js";
import { follow } from "./live.js";
import { forgetName, nameOf } from "./names.js";
import { told } from "./problems.js";
import { say } from "./strings.js";

const PAGE = 50;
const LOOK_AGAIN_MS = 20000; // for jobs that others submit
const rows = new Map(); // job id -> { row, stop }
let nextPage = null;

/** Reads the newest page again, and with it everything that changed. */
export async function refreshJobs() {
  const before = new Map([...rows].map(([id, { row }]) => [id, row.job]));
  let page;
  try {
    page = await ask(`v1/jobs?page_size=${PAGE}`);
  } catch (problem) {
    if (problem.status !== 401 && !rows.size) find("jobs-list").replaceChildren(element("li", {}, told(problem)));
    return;
  }
  if (!rows.size) {
    find("jobs-list").replaceChildren();
    nextPage = page.next_page_token;
  }
  const known = new Set(page.jobs.map((job) => job.job_id));
  const oldest = page.jobs.at(-1)?.submitted_at ?? "";
  for (const [id, { row }] of rows) {
    const inPage = page.next_page_token === null || row.job.submitted_at >= oldest;
    if (inPage && !known.has(id) && before.has(id)) drop(id);
  }
  for (const job of [...page.jobs].reverse()) {
    // What has changed since this was asked is newer than the answer.
    if (rows.get(job.job_id)?.row.job === before.get(job.job_id)) put(job, { first: true });
  }
  showEnds();
}

/** Shows a job that this page has just submitted. */
export function addJob(job, file) {
  put(job, { first: true, file });
  showEnds();
}

export function clearJobs() {
  for (const id of [...rows.keys()]) drop(id);
  nextPage = null;
}

function put(job, { first, file = null }) {
  const known = rows.get(job.job_id);
  if (known) {
    update(job.job_id, job);
    return;
  }
  const events = { retried: retriedTo, removed: () => leave(job.job_id) };
  const entry = { row: new JobRow(job, events, file), stop: null };
  rows.set(job.job_id, entry);
  if (first) find("jobs-list").prepend(entry.row.element);
  else find("jobs-list").append(entry.row.element);
  watch(job.job_id);
}

function watch(id) {
  const entry = rows.get(id);
  if (!isOpen(entry.row.job) || entry.stop) return;
  entry.stop = follow(entry.row.job, (kind, change) => {
    if (kind === "deleted") {
      announce(say("job.gone", { name: nameOf(entry.row.job) }));
      drop(id);
      showEnds();
    } else {
      update(id, change);
    }
  });
}

function update(id, change) {
  const entry = rows.get(id);
  const wasOpen = isOpen(entry.row.job);
  const place = change.status && change.status !== "queued" ? { queue_position: null } : {};
  entry.row.show({ ...entry.row.job, ...withoutNullPlace(change), ...place });
  if (!wasOpen || isOpen(entry.row.job)) return;
  entry.stop?.();
  entry.stop = null;
  announceEnd(entry.row.job);
}

/** Lists do not say which in the queue a job is; what the events said of it still holds. */
function withoutNullPlace(change) {
  const { queue_position: place, ...others } = change;
  return place == null ? others : change;
}

function retriedTo(job) {
  addJob(job, null);
  rows.get(job.job_id).row.name.focus();
}

/** Takes the row out, and gives the focus to its neighbour. */
function leave(id) {
  const gone = rows.get(id)?.row.element; // none where the event came before the answer
  const neighbour = gone?.nextElementSibling ?? gone?.previousElementSibling;
  if (gone) drop(id);
  showEnds();
  (neighbour?.querySelector(".name") ?? find("jobs-heading")).focus();
}

function drop(id) {
  const entry = rows.get(id);
  entry.stop?.();
  entry.row.element.remove();
  rows.delete(id);
  forgetName(id);
}

function showEnds() {
  find("jobs-empty").hidden = rows.size > 0;
  find("older").hidden = nextPage === null;
}

async function showOlder() {
  const page = await ask(`v1/jobs?page_size=${PAGE}&page_token=${encodeURIComponent(nextPage)}`);
  const last = find("jobs-list").lastElementChild;
  nextPage = page.next_page_token;
  for (const job of page.jobs) put(job, { first: false });
  showEnds();
  last?.nextElementSibling?.querySelector(".name").focus();
}

export function setUpJobs() {
  find("older").addEventListener("click", showOlder);
  window.addEventListener("gateway-is-back", refreshJobs);
  window.addEventListener("focus", refreshJobs);
  setInterval(() => { if (!document.hidden) refreshJobs(); }, LOOK_AGAIN_MS);
}

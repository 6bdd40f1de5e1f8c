/** The list of jobs, live: running ones on top, then the queue, then finished ones, newest first. */
import { request } from "./api.js";
import { announce } from "./announcer.js";
import { byId, element } from "./dom.js";
import { announceEnd, isOpen } from "./job_actions.js";
import { follow } from "./job_events.js";
import { JobRow } from "./job_row.js";
import { showSelection } from "./job_selection.js";
import { nameOf, removeName } from "./names.js";
import { showProgress } from "./overall_progress.js";
import { problemMessage } from "./problems.js";
import { forgetPlace, placeOf, recordPlace } from "./queue_places.js";
import { t } from "./strings.js";

const PAGE_SIZE = 50;
const REFRESH_MS = 20_000; // for jobs that others submit
const RANK = { running: 0, queued: 1, done: 2, error: 2 };
const rows = new Map(); // job id -> { row, stop }
const hidden = new Set(); // previews, and jobs that are about to be deleted
let nextPage = null;
let planned = false;

export const listedRows = () => [...rows.values()].map(({ row }) => row);
const listedJobs = () => listedRows().map((row) => row.job);

/** Read the newest page again, and with it everything that changed. */
export async function refreshJobs() {
  const before = new Map([...rows].map(([id, { row }]) => [id, row.job]));
  let page;
  try {
    page = await request(`v1/jobs?page_size=${PAGE_SIZE}`);
  } catch (problem) {
    if (problem.status !== 401 && !rows.size) byId("jobs-list").replaceChildren(element("li", {}, problemMessage(problem)));
    return;
  }
  if (!rows.size) {
    byId("jobs-list").replaceChildren();
    nextPage = page.next_page_token;
  }
  dropMissing(page, before);
  for (const job of page.jobs) {
    // What has changed since the request is newer than the answer.
    if (rows.get(job.job_id)?.row.job === before.get(job.job_id)) put(job);
  }
  arrange();
}

function dropMissing(page, before) {
  const listed = new Set(page.jobs.map((job) => job.job_id));
  const oldest = page.jobs.at(-1)?.submitted_at ?? "";
  for (const [id, { row }] of rows) {
    const inPage = page.next_page_token === null || row.job.submitted_at >= oldest;
    if (inPage && !listed.has(id) && before.has(id)) drop(id);
  }
}

/** Show a job that this page has just submitted. */
export function addJob(job, file = null) {
  put(job, file);
  arrange();
}

export function clearJobs() {
  for (const id of [...rows.keys()]) drop(id, { forget: false });
  nextPage = null;
  arrange();
}

/** Take the job out of the list, and keep it out. */
export function hideJob(id) {
  hidden.add(id);
  if (rows.has(id)) leave(id, { forget: false });
}

export function unhideJob(id) {
  hidden.delete(id);
  refreshJobs();
}

function put(job, file = null) {
  if (hidden.has(job.job_id)) return;
  if (rows.has(job.job_id)) {
    update(job.job_id, job);
    return;
  }
  const events = { onRetried: showRetried, onRemoved: () => leave(job.job_id), onSelected: showSelection };
  rows.set(job.job_id, { row: new JobRow(job, events, file), stop: null });
  recordPlace(job, job.queue_position, listedJobs());
  watch(job.job_id);
}

function watch(id) {
  const entry = rows.get(id);
  if (!isOpen(entry.row.job) || entry.stop) return;
  entry.stop = follow(entry.row.job, (kind, change) => {
    if (kind === "deleted") {
      announce(t("job.gone", { name: nameOf(entry.row.job) }));
      drop(id);
    } else {
      update(id, change);
    }
    arrange();
  });
}

function update(id, change) {
  const entry = rows.get(id);
  const wasOpen = isOpen(entry.row.job);
  const { queue_position: place, ...others } = change;
  const job = { ...entry.row.job, ...others };
  recordPlace(job, place, listedJobs());
  entry.row.show(job);
  if (!wasOpen || isOpen(job)) return;
  entry.stop?.();
  entry.stop = null;
  announceEnd(job);
}

/** Sort the rows and update what depends on all of them, once for many changes. */
function arrange() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    const jobs = listedJobs();
    for (const { row } of rows.values()) row.showPlace(placeOf(row.job, jobs));
    sortRows();
    byId("jobs-empty").hidden = rows.size > 0;
    byId("older").hidden = nextPage === null;
    showProgress(jobs);
    showSelection();
  });
}

function sortRows() {
  const list = byId("jobs-list");
  const sorted = listedRows().sort(inOrder);
  const focused = document.activeElement;
  let changed = false;
  sorted.forEach((row, index) => {
    if (list.children[index] === row.element) return;
    list.insertBefore(row.element, list.children[index] ?? null);
    changed = true;
  });
  if (changed && list.contains(focused) && document.activeElement !== focused) focused.focus({ preventScroll: true });
}

function inOrder({ job: a }, { job: b }) {
  if (RANK[a.status] !== RANK[b.status]) return RANK[a.status] - RANK[b.status];
  if (a.status === "queued") return b.priority - a.priority || (a.submitted_at < b.submitted_at ? -1 : 1);
  return a.submitted_at < b.submitted_at ? 1 : -1;
}

function showRetried(job) {
  addJob(job);
  rows.get(job.job_id).row.name.focus();
}

/** Remove the row and, if it has the focus, pass that to its neighbour. */
function leave(id, options) {
  const gone = rows.get(id)?.row.element; // none if the event came before the answer
  const hadFocus = gone?.contains(document.activeElement);
  const neighbour = gone?.nextElementSibling ?? gone?.previousElementSibling;
  if (gone) drop(id, options);
  arrange();
  if (hadFocus) (neighbour?.querySelector(".name") ?? byId("jobs-heading")).focus();
}

function drop(id, { forget = true } = {}) {
  const entry = rows.get(id);
  entry.stop?.();
  entry.row.element.remove();
  rows.delete(id);
  forgetPlace(id);
  if (forget) removeName(id);
}

async function showOlder() {
  const page = await request(`v1/jobs?page_size=${PAGE_SIZE}&page_token=${encodeURIComponent(nextPage)}`);
  nextPage = page.next_page_token;
  for (const job of page.jobs) put(job);
  arrange();
}

export function setUpJobList() {
  byId("older").addEventListener("click", showOlder);
  window.addEventListener("gateway-is-back", refreshJobs);
  window.addEventListener("focus", refreshJobs);
  setInterval(() => { if (!document.hidden) refreshJobs(); }, REFRESH_MS);
}

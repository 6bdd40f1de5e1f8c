/** Delete jobs with ten seconds to undo it. */
import { deleteJob, deleteJobOnExit } from "./api.js";
import { announce } from "./announcer.js";
import { byId } from "./dom.js";
import { nameOf, removeName } from "./names.js";
import { t } from "./strings.js";

const UNDO_MS = 10_000;
let list = null; // `hide(id)` and `unhide(id)` of the list of jobs
let pending = null; // { jobs, timer }: one deletion at a time can be undone

/** Hide the jobs now and delete them in ten seconds, unless that is undone. */
export function deleteWithUndo(jobs) {
  commitDeletion();
  pending = { jobs, timer: setTimeout(commitDeletion, UNDO_MS) };
  for (const job of jobs) list.hide(job.job_id);
  const text = jobs.length === 1
    ? t("job.deleted", { name: nameOf(jobs[0]) })
    : t("jobs.deleted", { count: jobs.length });
  byId("undo-text").textContent = text;
  byId("undo").hidden = false;
  byId("undo").classList.remove("running");
  requestAnimationFrame(() => byId("undo").classList.add("running"));
  announce(`${text} ${t("job.undo.hint")}`);
}

/** Delete what waits for its ten seconds to pass. Resolves when the gateway has answered. */
export async function commitDeletion() {
  const jobs = take();
  await Promise.all(jobs.map(async (job) => {
    try {
      await deleteJob(job.job_id);
      removeName(job.job_id);
    } catch (problem) {
      if (problem.code === "not-found") removeName(job.job_id);
      else list.unhide(job.job_id); // it is still there: so is its row
    }
  }));
}

function undo() {
  const jobs = take();
  for (const job of jobs) list.unhide(job.job_id);
  if (jobs.length) announce(t("job.restored"));
}

function take() {
  const jobs = pending?.jobs ?? [];
  clearTimeout(pending?.timer);
  pending = null;
  byId("undo").hidden = true;
  return jobs;
}

/** The time stands still while the pointer or the focus is on the message. */
function hold() {
  if (!pending) return;
  clearTimeout(pending.timer);
  byId("undo").classList.remove("running");
}

function release() {
  if (!pending) return;
  clearTimeout(pending.timer);
  pending.timer = setTimeout(commitDeletion, UNDO_MS);
  byId("undo").classList.add("running");
}

export function setUpUndo(jobList) {
  list = jobList;
  const message = byId("undo");
  byId("undo-button").addEventListener("click", undo);
  for (const kind of ["pointerenter", "focusin"]) message.addEventListener(kind, hold);
  for (const kind of ["pointerleave", "focusout"]) message.addEventListener(kind, release);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || !pending) return;
    if (event.target.matches("input, select, textarea")) return;
    event.preventDefault();
    undo();
  });
  window.addEventListener("pagehide", () => take().forEach((job) => deleteJobOnExit(job.job_id)));
}

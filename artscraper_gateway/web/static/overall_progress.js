/** Progress of all pictures that are being protected, with the time left. */
import { byId } from "./dom.js";
import { isOpen } from "./job_actions.js";
import { formatDuration, t } from "./strings.js";
import { TimeLeft } from "./time_left.js";

let run = new Set(); // jobs since the queue was last empty
let timeLeft = new TimeLeft();

const shareOf = (job) => (isOpen(job) ? (job.status === "running" ? job.progress : 0) : 1);

/** Update the line above the list from all `jobs` in it; one job alone shows its own progress. */
export function showProgress(jobs) {
  const open = jobs.filter(isOpen);
  if (!open.length) {
    run = new Set();
    timeLeft = new TimeLeft();
  }
  for (const job of open) run.add(job.job_id);
  const counted = jobs.filter((job) => run.has(job.job_id));
  byId("overall").hidden = counted.length < 2;
  if (counted.length < 2) return;
  const done = counted.reduce((sum, job) => sum + shareOf(job), 0);
  const seconds = timeLeft.update(done, counted.length);
  const values = { count: counted.length, done: counted.length - open.length };
  byId("overall-bar").value = done / counted.length;
  byId("overall-text").textContent = seconds === null
    ? t("jobs.progress", values)
    : t("jobs.progress.time", { ...values, time: formatDuration(seconds) });
}

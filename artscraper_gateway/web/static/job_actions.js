/** What can be done with a job, and in what words it stands. */
import { announce } from "./announcer.js";
import { confirmed } from "./confirmation.js";
import { ask } from "./gateway.js";
import { forgetName, keepName, nameOf } from "./names.js";
import { percent, say, stageName } from "./strings.js";

export const isOpen = (job) => job.status === "queued" || job.status === "running";

export function stateWords(job) {
  if (job.status === "queued") {
    return job.queue_position
      ? say("job.queued.place", { count: job.queue_position })
      : say("job.queued");
  }
  if (job.status === "running") {
    return job.stage ? say("job.running", { stage: stageName(job.stage) }) : say("job.running.start");
  }
  return say(job.error_code === "cancelled" ? "job.cancelled" : `job.${job.status}`);
}

export const progressWords = (job) => percent(job.progress);

export function announceEnd(job) {
  const name = nameOf(job);
  if (job.status === "done") announce(say("job.is_done", { name }));
  else announce(say(job.error_code === "cancelled" ? "job.is_cancelled" : "job.is_failed", { name }));
}

export const cancel = (job) => ask(`v1/jobs/${job.job_id}/cancel`, { method: "POST" });

/** Returns the new job that does the same again. */
export async function retry(job) {
  const name = nameOf(job);
  const again = await ask(`v1/jobs/${job.job_id}/retry`, { method: "POST" });
  keepName(again.job_id, name);
  return again;
}

/** Returns whether the job was deleted: the reader may have thought better of it. */
export async function remove(job) {
  const name = nameOf(job);
  if (!(await confirmed(say("job.delete.sure", { name }), say("job.delete.yes")))) return false;
  await ask(`v1/jobs/${job.job_id}`, { method: "DELETE" });
  forgetName(job.job_id);
  announce(say("job.deleted", { name }));
  return true;
}

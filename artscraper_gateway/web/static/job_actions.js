/** Actions on a job, and its status in words. */
import { fetchFile, jobPath, layerPath, newIdempotencyKey, request, submitJob } from "./api.js";
import { announce } from "./announcer.js";
import { nameOf, storeName } from "./names.js";
import { stageName, t } from "./strings.js";

export const isOpen = (job) => job.status === "queued" || job.status === "running";

/** The value of `data-state`: cancelled jobs are errors to the gateway, not to the user. */
export const stateOf = (job) => (job.error_code === "cancelled" ? "cancelled" : job.status);

/** Return whether the job failed because its picture cannot be decoded. */
export const isDamaged = (job) => /cannot be decoded|truncated|damaged/.test(job.error ?? "");

export function statusText(job) {
  if (stateOf(job) === "error" && isDamaged(job)) return t("job.damaged");
  if (job.status === "queued") {
    return job.queue_position ? t("job.queued.place", { count: job.queue_position }) : t("job.queued");
  }
  if (job.status === "running") {
    return job.stage ? t("job.running", { stage: stageName(job.stage) }) : t("job.running.start");
  }
  return t(`job.${stateOf(job)}`);
}

export function announceEnd(job) {
  announce(t(`job.${stateOf(job)}.announcement`, { name: nameOf(job) }));
}

export const cancelJob = (job) => request(`${jobPath(job.job_id)}/cancel`, { method: "POST" });

/** Return a new job that repeats this one. */
export async function retryJob(job) {
  const name = nameOf(job);
  const repeated = await request(`${jobPath(job.job_id)}/retry`, { method: "POST" });
  storeName(repeated.job_id, name);
  return repeated;
}

/** Return a new job with the same picture and stages at another strength. */
export async function protectAgain(job, layers, strength) {
  const name = nameOf(job);
  const form = new FormData();
  form.append("file", await fetchFile(layerPath(job.job_id, "original")), name);
  form.append("strength", strength);
  form.append("stages", layers.slice(1).map((layer) => layer.stage).join(","));
  const again = await submitJob({ form, idempotencyKey: newIdempotencyKey() });
  storeName(again.job_id, name);
  return again;
}

/** Places in the queue, recomputed as the jobs in the list move.
 *
 * The gateway reports the place of a job when it is followed, and of the first few afterwards. In
 * between, the jobs of this list that are known to be ahead are counted; jobs of others count as
 * many as there were when the gateway last reported.
 */
const unknownAhead = new Map(); // job id -> jobs ahead that are not in the list

const isAhead = (job, other) =>
  job.priority > other.priority ||
  (job.priority === other.priority && job.submitted_at < other.submitted_at);

const knownAhead = (job, jobs) =>
  jobs.filter((each) => each.status === "queued" && each.job_id !== job.job_id && isAhead(each, job)).length;

/** Remember what the gateway reported about `job`, given all `jobs` of the list. */
export function recordPlace(job, place, jobs) {
  if (place) unknownAhead.set(job.job_id, Math.max(0, place - 1 - knownAhead(job, jobs)));
}

/** Return the place of a queued job, 1 = next; null if the gateway has not reported one. */
export function placeOf(job, jobs) {
  if (job.status !== "queued" || !unknownAhead.has(job.job_id)) return null;
  return 1 + knownAhead(job, jobs) + unknownAhead.get(job.job_id);
}

export const forgetPlace = (jobId) => unknownAhead.delete(jobId);

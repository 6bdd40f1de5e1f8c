/** The jobs behind a preview: not listed, and deleted as soon as their pictures are here. */
import { deleteJob, deleteJobOnExit, fetchFile, layerPath, newIdempotencyKey, submitJob } from "./api.js";
import { follow } from "./job_events.js";
import { hideJob } from "./job_list.js";

const PRIORITY = 50; // before whole pictures
const STORED = "artscraper-previews"; // ids of jobs that a closed page may have left behind
const openJobs = new Set();

/** Return the crop at one strength, from a job that is gone afterwards. */
export async function protectCrop(crop, strength, stages) {
  const form = new FormData();
  form.append("file", crop, "preview.png");
  const fields = { strength, stages: stages.join(","), include_hash_analysis: false, priority: PRIORITY };
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  const job = await submitJob({ form, idempotencyKey: newIdempotencyKey() });
  hideJob(job.job_id);
  openJobs.add(job.job_id);
  storeOpenJobs();
  try {
    await ended(job);
    return await fetchFile(layerPath(job.job_id, stages.at(-1)));
  } finally {
    removeJob(job.job_id);
  }
}

async function removeJob(id) {
  try {
    await deleteJob(id);
  } catch (problem) {
    if (problem.code !== "not-found") return; // the next visit tries again
  }
  openJobs.delete(id);
  storeOpenJobs();
}

function storeOpenJobs() {
  try {
    localStorage.setItem(STORED, JSON.stringify([...openJobs]));
  } catch {
    // Storage is blocked: what a crash leaves behind is then listed.
  }
}

/** Delete what a page that crashed has left behind. */
function removeLeftovers() {
  let ids = [];
  try {
    ids = JSON.parse(localStorage.getItem(STORED)) ?? [];
  } catch {
    return;
  }
  for (const id of ids.filter((each) => /^[0-9a-f]{32}$/.test(each))) {
    hideJob(id);
    removeJob(id);
  }
}

const ended = (job) =>
  new Promise((resolve) => {
    const stop = follow(job, (kind, change) => {
      if (kind !== "deleted" && !["done", "error"].includes(change.status)) return;
      stop();
      resolve();
    });
  });

export function setUpPreviewJobs() {
  removeLeftovers();
  window.addEventListener("pagehide", () => openJobs.forEach(deleteJobOnExit));
}

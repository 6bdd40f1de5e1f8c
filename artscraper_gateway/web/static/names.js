/** File names of pictures: as this browser sent them, else as the gateway keeps them. */
import { formatTime, t } from "./strings.js";

const KEY = "artscraper-names";
const MAX_NAMES = 1000;
const MAX_LENGTH = 200;
// Control characters, and marks that change the direction of writing, could disguise a name.
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const NOT_IN_FILE_NAMES = /[\\/:*?"<>|#%]/g;

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

function write(names) {
  try {
    localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(Object.entries(names).slice(-MAX_NAMES))));
  } catch {
    // Storage is full or blocked: pictures are then named by their time.
  }
}

/** Return `name` as it can be shown: without invisible characters, and not endless. */
export const cleanName = (name, maxLength = MAX_LENGTH) => name.replace(INVISIBLE, "").trim().slice(0, maxLength);

export const storeName = (jobId, name) => write({ ...read(), [jobId]: cleanName(name) });

export function removeName(jobId) {
  const { [jobId]: _, ...others } = read();
  write(others);
}

export const nameOf = (job) =>
  cleanName(read()[job.job_id] || job.name || "") || t("job.unnamed", { when: formatTime(job.submitted_at) });

/** Return the name to save a file of the job under, such as `harbour-protected.jpg`. */
export function fileName(job, label, suffix) {
  const stem = nameOf(job).replace(/\.\w{1,5}$/, "").replace(NOT_IN_FILE_NAMES, "-").slice(0, 100);
  return `${stem}-${label}.${suffix}`;
}

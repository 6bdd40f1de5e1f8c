/** What pictures are called. The gateway keeps no file names; this browser does. */
import { moment, say } from "./strings.js";

const KEY = "artscraper-names";
const KEPT = 1000;

function read() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

function write(names) {
  try {
    localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(Object.entries(names).slice(-KEPT))));
  } catch {
    // Storage is full or forbidden: pictures are then called by their time.
  }
}

export const keepName = (jobId, name) => write({ ...read(), [jobId]: name });

export function forgetName(jobId) {
  const { [jobId]: _, ...others } = read();
  write(others);
}

export const forgetNames = () => localStorage.removeItem(KEY);
export const nameOf = (job) =>
  read()[job.job_id] ?? say("job.unnamed", { when: moment(job.submitted_at) });

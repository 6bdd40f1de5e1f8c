/** Save protected pictures, one by one or as a ZIP file. */
import { fetchFile, jobPath, layerPath, request } from "./api.js";
import { element } from "./dom.js";
import { fileName } from "./names.js";
import { zipFile } from "./zip.js";

const MAX_ZIP_BYTES = 1e9; // one archive is built in memory; larger selections become several
const REVOKE_AFTER_MS = 60_000;

/** Save the last layer of a finished job as `<name>-protected.<suffix>`. */
export async function downloadProtected(job) {
  const { content, name } = await protectedFile(job);
  saveBlob(content, name);
}

async function protectedFile(job) {
  const { summary } = await request(`${jobPath(job.job_id)}/result`);
  const last = summary.layers.at(-1);
  const content = await fetchFile(layerPath(job.job_id, last.stage));
  return { content, name: fileName(job, "protected", suffixOf(last)) };
}

const SUFFIXES = { "image/jpeg": "jpg", "image/tiff": "tif" };

export const suffixOf = ({ media_type: type }) => SUFFIXES[type] ?? type.split("/")[1];

/** Save the last layers of all jobs in ZIP files; `onProgress` receives the number of pictures. */
export async function downloadAll(jobs, archiveName, onProgress) {
  const taken = new Set();
  let files = [];
  let size = 0;
  const flush = async () => {
    if (files.length) saveBlob(await zipFile(files), `${archiveName}.zip`);
    files = [];
    size = 0;
  };
  for (const [index, job] of jobs.entries()) {
    onProgress(index);
    const { content, name } = await protectedFile(job);
    if (size + content.size > MAX_ZIP_BYTES) await flush();
    files.push({ content, name: uniqueName(name, taken) });
    size += content.size;
  }
  await flush();
}

function uniqueName(name, taken) {
  const dot = name.lastIndexOf(".");
  let unique = name;
  for (let copy = 2; taken.has(unique); copy += 1) unique = `${name.slice(0, dot)} (${copy})${name.slice(dot)}`;
  taken.add(unique);
  return unique;
}

export function saveBlob(content, name) {
  const url = URL.createObjectURL(content);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), REVOKE_AFTER_MS);
}

/** Make a link save its file as `name()`; `onProblem(problem)` receives a failure. */
export function saveOnClick(link, name, onProblem) {
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    try {
      saveBlob(await fetchFile(link.href), name());
    } catch (problem) {
      onProblem(problem);
    }
  });
  return link;
}

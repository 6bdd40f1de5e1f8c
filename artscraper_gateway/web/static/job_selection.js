/** Actions on many jobs: download or delete those that are selected, or download all. */
import { byId } from "./dom.js";
import { downloadAll, downloadProtected } from "./download.js";
import { problemMessage } from "./problems.js";
import { t } from "./strings.js";
import { deleteWithUndo } from "./undo.js";

let listedRows = () => [];
let packing = false;

const selectedRows = () => listedRows().filter((row) => row.box.checked);
const doneJobs = (rows) => rows.map((row) => row.job).filter((job) => job.status === "done");

/** Return the finished jobs that a download would take: the selected ones, or all. */
function downloadable() {
  const selected = selectedRows();
  return doneJobs(selected.length ? selected : listedRows());
}

/** Update the tools above the list. */
export function showSelection() {
  const rows = listedRows();
  const selected = selectedRows();
  const { length } = downloadable();
  byId("jobs-tools").hidden = rows.length < 2;
  const all = byId("select-all");
  all.checked = rows.length > 0 && selected.length === rows.length;
  all.indeterminate = selected.length > 0 && selected.length < rows.length;
  byId("selected-count").textContent = selected.length
    ? t("jobs.selected", { count: selected.length })
    : t("jobs.select_all");
  byId("delete-selected").hidden = selected.length === 0;
  const button = byId("download-selected");
  button.hidden = length === 0;
  if (packing) return;
  button.textContent = selected.length ? t("jobs.download.selected", { count: length }) : t("jobs.download.all");
}

async function download() {
  const jobs = downloadable();
  const button = byId("download-selected");
  if (packing || !jobs.length) return;
  packing = true;
  byId("jobs-problem").replaceChildren();
  try {
    if (jobs.length === 1) await downloadProtected(jobs[0]);
    else {
      await downloadAll(jobs, t("jobs.archive_name"), (count) => {
        button.textContent = t("jobs.packing", { number: count + 1, count: jobs.length });
      });
    }
  } catch (problem) {
    byId("jobs-problem").replaceChildren(problemMessage(problem));
  }
  packing = false;
  showSelection();
}

export function setUpSelection(rows) {
  listedRows = rows;
  byId("select-all").addEventListener("change", ({ target }) => {
    for (const row of listedRows()) row.box.checked = target.checked;
    showSelection();
  });
  byId("download-selected").addEventListener("click", download);
  byId("delete-selected").addEventListener("click", () => {
    deleteWithUndo(selectedRows().map((row) => row.job));
    byId("jobs-heading").focus();
  });
}

/** The pictures that are ready to be protected, and the bar that sends them. */
import { announce } from "./announcer.js";
import { byId } from "./dom.js";
import { onChosen } from "./file_input.js";
import { chosenOptions } from "./options_form.js";
import { hidePreview, showPreviewOf } from "./preview.js";
import { t } from "./strings.js";
import { Upload } from "./upload.js";

const PARALLEL = 2; // uploads; more would share the same line
const SAMPLE = "static/sample.webp";
const uploads = [];
let limits = null;
let sending = false;

const ready = () => uploads.filter((upload) => !upload.refused);

const newUpload = (source) => new Upload(source, { limits, onRemove: remove });

function add(added) {
  uploads.push(...added);
  byId("uploads-list").append(...added.map((upload) => upload.element));
  update();
  announce(t("uploads.added", { count: added.length }));
}

/** Add files; with a `strength` send them at once. */
export function addFiles(files, strength = null) {
  byId("drop-error").textContent = files.length ? "" : t("uploads.no_pictures");
  if (!files.length) return;
  add(files.map((file) => newUpload({ file })));
  if (strength) {
    byId(`strength-${strength}`).checked = true;
    submit();
  } else {
    byId("send").focus({ preventScroll: true });
  }
}

function remove(upload) {
  const neighbour = upload.element.nextElementSibling ?? upload.element.previousElementSibling;
  uploads.splice(uploads.indexOf(upload), 1);
  upload.element.remove();
  update();
  (neighbour?.querySelector("button") ?? byId("files")).focus();
}

function removeAll() {
  uploads.splice(0);
  byId("uploads-list").replaceChildren();
  update();
  byId("files").focus();
}

/** Show the list, the preview and the bar as the pictures require. */
function update() {
  const pictures = ready();
  const isEmpty = uploads.length === 0;
  document.body.classList.toggle("has-uploads", !isEmpty);
  byId("uploads").hidden = byId("bar").hidden = isEmpty;
  byId("submit-error").textContent = "";
  byId("send").hidden = pictures.length === 0;
  byId("send").textContent = pictures.length > 1 ? t("uploads.send.many", { count: pictures.length }) : t("uploads.send");
  byId("bar-thumb").replaceChildren(...(pictures.length ? [pictures[0].thumbnail()] : []));
  byId("bar").classList.toggle("several", pictures.length > 1);
  byId("bar-name").textContent =
    pictures.length > 1 ? t("uploads.count", { count: pictures.length }) : (pictures[0]?.name ?? t("uploads.none"));
  const readable = pictures.find((upload) => upload.file);
  if (readable) showPreviewOf(readable.file);
  else hidePreview();
}

async function submit() {
  const options = chosenOptions();
  if (sending || !ready().length) return;
  if (!options.stages.length) {
    byId("advanced").open = true;
    byId("submit-error").textContent = t("uploads.no_stage");
    return;
  }
  const waiting = ready();
  for (const upload of waiting) upload.status.textContent = t("uploads.waiting");
  setSending(true);
  const jobs = [];
  const sender = async () => {
    for (let upload = waiting.shift(); upload; upload = waiting.shift()) {
      const job = await upload.send(options);
      if (!job) continue;
      jobs.push(job);
      uploads.splice(uploads.indexOf(upload), 1);
      upload.element.remove();
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, sender));
  setSending(false);
  update();
  showSent(jobs);
}

function setSending(value) {
  sending = value;
  byId("send").disabled = value;
}

/** One picture leads to its page, several to the list. */
function showSent(jobs) {
  if (jobs.length) announce(t("uploads.sent", { count: jobs.length }));
  if (jobs.length) byId("advanced").open = false;
  if (uploads.length) byId("send").focus();
  else if (jobs.length === 1) location.hash = `#/jobs/${jobs[0].job_id}`;
  else byId("jobs-heading").focus();
}

function addUrl() {
  const field = byId("url");
  const value = field.value.trim();
  const isValid = /^https?:\/\/[^\s/]+/i.test(value) && URL.canParse(value);
  byId("url-error").textContent = isValid ? "" : t("url.invalid");
  field.setAttribute("aria-invalid", String(!isValid));
  if (!isValid) {
    field.focus();
    return;
  }
  add([newUpload({ url: value })]);
  field.value = "";
  byId("send").focus();
}

async function addSample() {
  const content = await (await fetch(SAMPLE)).blob();
  addFiles([new File([content], t("sample.name"), { type: content.type })]);
}

export function setUpUploads(values) {
  limits = values;
  onChosen("files", addFiles);
  onChosen("folder", addFiles);
  byId("sample").addEventListener("click", addSample);
  byId("add-url").addEventListener("click", addUrl);
  byId("url").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    addUrl();
  });
  byId("remove-all").addEventListener("click", removeAll);
  byId("submit").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  window.addEventListener("beforeunload", (event) => {
    if (sending) event.preventDefault(); // the browser asks whether to leave
  });
}

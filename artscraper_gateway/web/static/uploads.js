/** The pictures that are ready to be protected, the bar that sends them, and their uploads. */
import { newIdempotencyKey, submitJob } from "./api.js";
import { announce } from "./announcer.js";
import { byId, element } from "./dom.js";
import { onChosen } from "./file_input.js";
import { addJob } from "./job_list.js";
import { cleanName, storeName } from "./names.js";
import { chosenOptions } from "./options_form.js";
import { hidePreview, showPreviewOf } from "./preview.js";
import { isTemporary, problemMessage } from "./problems.js";
import { formatBytes, formatPercent, t } from "./strings.js";
import { emptyThumbnail, fileThumbnail } from "./thumbnails.js";

const PARALLEL = 2; // uploads; more would share the same line
const SAMPLE = "static/sample.webp";
const uploads = [];
let limits = null;
let sending = false;

/** A picture, as a file or by its URL. */
class Upload {
  constructor({ file = null, url = null }) {
    Object.assign(this, { file, url, name: cleanName(file?.name ?? url), key: newIdempotencyKey() });
    this.status = element("div", { class: "state" }, file ? formatBytes(file.size) : "");
    this.removeButton = element(
      "button",
      { type: "button", class: "quiet icon", "aria-label": t("uploads.remove", { name: this.name }), onclick: () => remove(this) },
      "✕",
    );
    this.element = element(
      "li",
      {},
      this.thumbnail(),
      element("bdi", { class: "name", title: this.name }, this.name),
      this.status,
      this.removeButton,
    );
    const reason = this.localRefusal();
    this.refused = reason !== null;
    if (reason) this.status.replaceChildren(element("div", { class: "problem", role: "alert" }, reason));
  }

  thumbnail() {
    return this.file ? fileThumbnail(this.file) : emptyThumbnail();
  }

  localRefusal() {
    const { file } = this;
    if (!file) return null;
    if (file.type && !file.type.startsWith("image/")) return t("uploads.not_a_picture");
    if (file.size === 0) return t("uploads.empty");
    if (file.size <= limits.max_upload_bytes) return null;
    return t("uploads.too_large", { bytes: formatBytes(file.size), limit: formatBytes(limits.max_upload_bytes) });
  }

  /** Send the picture and return its job, or null after a problem, which its row then shows. */
  async send(options) {
    const progress = element("progress", { max: 1, value: 0, "aria-label": this.name });
    const words = element("span", {}, t("uploads.sending", { percent: formatPercent(0) }));
    this.status.replaceChildren(words, progress);
    this.removeButton.hidden = true;
    const onProgress = (share) => {
      progress.value = share;
      words.textContent = t("uploads.sending", { percent: formatPercent(share) });
    };
    try {
      const job = await submitJob({ ...this.body(options), idempotencyKey: this.key, onProgress });
      storeName(job.job_id, this.name);
      addJob(job, this.file);
      return job;
    } catch (problem) {
      this.showProblem(problem);
      return null;
    }
  }

  showProblem(problem) {
    const message = problemMessage(problem);
    message.setAttribute("role", "alert");
    this.status.replaceChildren(message);
    this.removeButton.hidden = false;
    this.refused = !isTemporary(problem);
    // The gateway may have stored the options with this key: other options need another key.
    if (problem.code !== "unreachable") this.key = newIdempotencyKey();
  }

  body({ strength, stages }) {
    if (this.url) return { json: { image_url: this.url, strength, stages } };
    const form = new FormData();
    form.append("file", this.file, this.name);
    form.append("strength", strength);
    form.append("stages", stages.join(","));
    return { form };
  }
}

const ready = () => uploads.filter((upload) => !upload.refused);

function add(added) {
  uploads.push(...added);
  byId("uploads-list").append(...added.map((upload) => upload.element));
  update();
  announce(t("uploads.added", { count: added.length }));
}

/** Add files; with a `strength` send them at once. */
export function addFiles(files, strength = null) {
  add(files.map((file) => new Upload({ file })));
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
  add([new Upload({ url: value })]);
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
}

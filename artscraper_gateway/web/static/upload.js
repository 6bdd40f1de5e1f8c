/** One picture on its way to the gateway, and its row. */
import { newIdempotencyKey, submitJob } from "./api.js";
import { element } from "./dom.js";
import { addJob } from "./job_list.js";
import { cleanName, storeName } from "./names.js";
import { isTemporary, problemMessage } from "./problems.js";
import { formatBytes, formatPercent, t } from "./strings.js";
import { emptyThumbnail, fileThumbnail } from "./thumbnails.js";

/** A picture, as a file or by its URL. */
export class Upload {
  /** `limits` of the gateway; `onRemove(upload)` is called by its button. */
  constructor({ file = null, url = null }, { limits, onRemove }) {
    Object.assign(this, { file, url, name: cleanName(file?.name ?? url), key: newIdempotencyKey() });
    this.status = element("div", { class: "state" }, file ? formatBytes(file.size) : "");
    this.removeButton = element(
      "button",
      { type: "button", class: "quiet icon", "aria-label": t("uploads.remove", { name: this.name }), onclick: () => onRemove(this) },
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
    const reason = this.localRefusal(limits);
    this.refused = reason !== null;
    if (reason) this.status.replaceChildren(element("div", { class: "problem", role: "alert" }, reason));
  }

  thumbnail() {
    return this.file ? fileThumbnail(this.file) : emptyThumbnail();
  }

  /** Return why the gateway would refuse the file, null if nothing is known against it. */
  localRefusal(limits) {
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

  body({ strength, stages, rights }) {
    if (this.url) return { json: { image_url: this.url, strength, stages, ...rights } };
    const form = new FormData();
    form.append("file", this.file, this.name);
    form.append("strength", strength);
    form.append("stages", stages.join(","));
    for (const [name, text] of Object.entries(rights)) form.append(name, text);
    return { form };
  }
}

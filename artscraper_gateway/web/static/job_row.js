/** One job in the list. */
import { element } from "./elements.js";
import * as actions from "./job_actions.js";
import { nameOf } from "./names.js";
import { told } from "./problems.js";
import { percent, say } from "./strings.js";
import { fileThumbnail, layerThumbnail } from "./thumbnails.js";

/** `events`: `retried(job)` and `removed()` are called after the gateway did so. */
export class JobRow {
  constructor(job, events, file = null) {
    this.job = job;
    this.events = events;
    this.thumb = file ? fileThumbnail(file) : layerThumbnail(job.job_id, "original");
    this.isUploads = Boolean(file); // what the browser read; nothing of a TIFF, for one
    this.name = element("a", { class: "name", href: `#/jobs/${job.job_id}` });
    this.words = element("span", { class: "mark" });
    this.percent = element("span", {});
    this.progress = element("progress", { max: 1 });
    this.state = element("div", { class: "state" }, this.words, this.progress, this.percent);
    this.buttons = element("div", { class: "actions" });
    this.element = element("li", { class: "job", id: `job-${job.job_id}` });
    this.element.append(this.thumb, this.name, this.state, this.buttons);
    this.show(job);
  }

  show(job) {
    const before = this.shown;
    this.job = job;
    const name = nameOf(job);
    this.name.textContent = name;
    this.name.title = name;
    this.element.dataset.state = job.error_code === "cancelled" ? "cancelled" : job.status;
    this.words.textContent = actions.stateWords(job);
    this.progress.hidden = this.percent.hidden = job.status !== "running";
    this.progress.value = job.progress;
    this.progress.setAttribute("aria-label", say("job.progress", { name }));
    this.percent.textContent = percent(job.progress);
    this.shown = `${job.status} ${name}`;
    if (this.shown !== before) this.showButtons(name);
    if (job.status === "done" && this.isUploads) this.showLayer();
  }

  showLayer() {
    this.isUploads = false;
    const image = layerThumbnail(this.job.job_id, "original");
    this.thumb.replaceWith(image);
    this.thumb = image;
  }

  showButtons(name) {
    const hadFocus = this.buttons.contains(document.activeElement);
    const made = [];
    if (actions.isOpen(this.job)) made.push(this.button("cancel", name, () => this.cancel()));
    if (this.job.status === "error") made.push(this.button("retry", name, () => this.retry()));
    made.push(this.button("delete", name, () => this.remove()));
    this.buttons.replaceChildren(...made);
    if (hadFocus) made[0].focus();
  }

  button(action, name, onclick) {
    return element(
      "button",
      { type: "button", class: "quiet", "aria-label": say(`job.${action}.of`, { name }), onclick },
      say(`job.${action}`),
    );
  }

  cancel() {
    return this.doing(async () => this.show({ ...this.job, ...(await actions.cancel(this.job)) }));
  }

  retry() {
    return this.doing(async () => this.events.retried(await actions.retry(this.job)));
  }

  remove() {
    return this.doing(async () => { if (await actions.remove(this.job)) this.events.removed(); });
  }

  /** What goes wrong is said in the row; what somebody else deleted is gone. */
  async doing(what) {
    this.trouble?.remove();
    try {
      await what();
    } catch (problem) {
      if (problem.code === "not-found") this.events.removed();
      else {
        this.trouble = told(problem);
        this.trouble.setAttribute("role", "alert");
        this.state.append(this.trouble);
      }
    }
  }
}

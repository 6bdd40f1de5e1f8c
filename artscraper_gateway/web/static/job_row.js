/** One job in the list. */
import { byId, element } from "./dom.js";
import { downloadProtected } from "./download.js";
import * as actions from "./job_actions.js";
import { nameOf } from "./names.js";
import { problemMessage } from "./problems.js";
import { formatPercent, t } from "./strings.js";
import { emptyThumbnail, fileThumbnail, layerThumbnail } from "./thumbnails.js";
import { deleteWithUndo } from "./undo.js";

/** `events`: `onRetried(job)`, `onRemoved()`, `onSelected()`. */
export class JobRow {
  constructor(job, events, file = null) {
    this.job = job;
    this.events = events;
    this.thumb = firstThumbnail(job, file);
    this.isFileThumb = Boolean(file); // what the browser could read: nothing of a TIFF
    this.box = element("input", { type: "checkbox", onchange: events.onSelected });
    this.name = element("a", { class: "name", href: `#/jobs/${job.job_id}` }, element("bdi", {}));
    this.words = element("span", { class: "mark" });
    this.percent = element("span", {});
    this.progress = element("progress", { max: 1 });
    this.state = element("div", { class: "state" }, this.words, this.progress, this.percent);
    this.buttons = element("div", { class: "actions" });
    this.element = element("li", { class: "job", id: `job-${job.job_id}` });
    this.element.append(element("label", { class: "select" }, this.box), this.thumb, this.name, this.state, this.buttons);
    this.show(job);
  }

  show(job) {
    this.job = job;
    const name = nameOf(job);
    this.name.firstChild.textContent = name;
    this.name.title = name;
    this.box.setAttribute("aria-label", t("job.select", { name }));
    this.element.dataset.state = actions.stateOf(job);
    this.showStatus();
    this.progress.hidden = this.percent.hidden = job.status !== "running";
    this.progress.value = job.progress;
    this.progress.setAttribute("aria-label", t("job.progress", { name }));
    this.percent.textContent = formatPercent(job.progress);
    const shown = `${job.status} ${name}`;
    if (shown !== this.shown) this.showButtons(name);
    this.shown = shown;
    if (job.status === "done" && this.isFileThumb) this.showLayer();
  }

  /** Show the place in the queue, null = unknown. */
  showPlace(place) {
    if (this.place === place) return;
    this.place = place;
    this.showStatus();
  }

  showStatus() {
    this.words.textContent = actions.statusText({ ...this.job, queue_position: this.place });
  }

  showLayer() {
    this.isFileThumb = false;
    const image = layerThumbnail(this.job.job_id, "original");
    this.thumb.replaceWith(image);
    this.thumb = image;
  }

  showButtons(name) {
    const hadFocus = this.buttons.contains(document.activeElement);
    const buttons = [];
    if (this.job.status === "done") buttons.push(this.button("download", "secondary", name, () => downloadProtected(this.job)));
    if (actions.isOpen(this.job)) buttons.push(this.button("cancel", "quiet", name, () => this.cancel()));
    if (this.job.status === "error" && !actions.isDamaged(this.job)) buttons.push(this.button("retry", "secondary", name, () => this.retry()));
    buttons.push(this.button("delete", "quiet", name, () => this.remove()));
    this.buttons.replaceChildren(...buttons);
    if (hadFocus) buttons[0].focus();
  }

  button(action, kind, name, onclick) {
    return element(
      "button",
      { type: "button", class: kind, "aria-label": t(`job.${action}.of`, { name }), onclick: () => this.attempt(onclick) },
      t(`job.${action}`),
    );
  }

  async cancel() {
    this.show({ ...this.job, ...(await actions.cancelJob(this.job)) });
  }

  async retry() {
    this.events.onRetried(await actions.retryJob(this.job));
  }

  remove() {
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
    deleteWithUndo([this.job]);
    (next?.querySelector(".name") ?? byId("jobs-heading")).focus();
  }

  /** Show a problem in the row; a job that someone else deleted leaves the list. */
  async attempt(action) {
    this.problem?.remove();
    try {
      await action();
    } catch (problem) {
      if (problem.code === "not-found") {
        this.events.onRemoved();
        return;
      }
      this.problem = problemMessage(problem);
      this.problem.setAttribute("role", "alert");
      this.state.append(this.problem);
    }
  }
}

/** Return the picture of a row: none of a damaged file that this browser did not send. */
function firstThumbnail(job, file) {
  if (file) return fileThumbnail(file);
  return actions.isDamaged(job) ? emptyThumbnail() : layerThumbnail(job.job_id, "original");
}

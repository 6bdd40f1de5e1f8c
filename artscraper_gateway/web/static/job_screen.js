/** The page of one job: its progress while it runs, then the result. */
import { jobPath, layerPath, request } from "./api.js";
import { details } from "./details.js";
import { element } from "./dom.js";
import { saveOnClick, suffixOf } from "./download.js";
import * as actions from "./job_actions.js";
import { follow } from "./job_events.js";
import { fileName, nameOf } from "./names.js";
import { STRENGTHS } from "./options_form.js";
import { problemMessage, serverText } from "./problems.js";
import { formatDuration, formatPercent, formatTime, t } from "./strings.js";
import { layerThumbnail } from "./thumbnails.js";
import { TimeLeft } from "./time_left.js";
import { deleteWithUndo } from "./undo.js";
import { strengthOf } from "./verdict.js";
import { verdictPanel } from "./verdict_panel.js";
import { viewer } from "./viewer.js";

const PREVIEW = 640; // px of the picture that is shown while it is protected
let stopFollowing = null;
let shownId = null; // what arrives late for another job is dropped

/** Show the job in `screen`; resolves when its heading can take the focus. */
export async function showJob(screen, jobId) {
  leaveJob();
  shownId = jobId;
  const back = element("a", { class: "back", href: "#/" }, `← ${t("job.back")}`);
  screen.replaceChildren(back);
  try {
    const job = await request(jobPath(jobId));
    if (shownId !== jobId) return;
    new JobScreen(screen, back, job).start();
  } catch (problem) {
    const text = t(problem.code === "not-found" ? "job.none" : "title");
    screen.replaceChildren(back, element("h1", { tabindex: "-1" }, text), problemMessage(problem));
  }
}

export function leaveJob() {
  stopFollowing?.();
  stopFollowing = shownId = null;
}

class JobScreen {
  constructor(screen, back, job) {
    this.job = job;
    this.timeLeft = new TimeLeft();
    this.heading = element("h1", { tabindex: "-1" }, element("bdi", {}));
    this.words = element("span", { class: "mark" });
    this.state = element("div", { class: "state", role: "status" }, this.words);
    this.problem = element("div", { role: "alert" });
    this.head = element("header", { class: "job-head" }, this.heading, this.state, this.problem);
    this.body = element("div", { class: "job-body" });
    screen.replaceChildren(back, this.head, this.body);
  }

  start() {
    this.show(this.job);
    if (!actions.isOpen(this.job)) {
      this.showEnd();
      return;
    }
    this.showWaiting();
    stopFollowing = follow(this.job, (kind, change) => this.handle(kind, change));
  }

  handle(kind, change) {
    if (kind === "deleted") {
      this.showGone();
      return;
    }
    this.show({ ...this.job, queue_position: null, ...change });
    if (actions.isOpen(this.job)) return;
    stopFollowing?.();
    stopFollowing = null;
    actions.announceEnd(this.job);
    this.showEnd({ moveFocus: true });
  }

  show(job) {
    this.job = job;
    const name = nameOf(job);
    this.heading.firstChild.textContent = name;
    document.title = `${name} – ${t("title")}`;
    this.head.dataset.state = actions.stateOf(job);
    const words = actions.statusText(job);
    if (this.words.textContent !== words) this.words.textContent = words;
    if (this.progress) this.showProgress(job);
  }

  showWaiting() {
    this.progress = element("progress", { max: 1, "aria-label": t("job.progress", { name: nameOf(this.job) }) });
    this.meter = element("p", { class: "meter" });
    const picture = layerThumbnail(this.job.job_id, "original", PREVIEW);
    const buttons = element(
      "div",
      { class: "actions" },
      this.button("job.cancel", "secondary", async () => this.handle("error", await actions.cancelJob(this.job))),
      this.button("job.delete", "quiet", () => this.remove()),
    );
    this.body.replaceChildren(
      element("section", { class: "panel waiting" }, picture, element("div", {}, this.progress, this.meter, buttons)),
    );
    this.showProgress(this.job);
  }

  showProgress(job) {
    const seconds = job.status === "running" ? this.timeLeft.update(job.progress, 1) : null;
    if (job.status === "running") this.progress.value = job.progress;
    else this.progress.removeAttribute("value");
    const text = job.status === "running" ? formatPercent(job.progress) : "";
    this.meter.textContent = seconds === null ? text : t("job.time_left", { percent: text, time: formatDuration(seconds) });
  }

  button(key, kind, action) {
    return element("button", { type: "button", class: kind, onclick: () => this.attempt(action) }, t(key));
  }

  async showEnd({ moveFocus = false } = {}) {
    const { job } = this;
    this.progress = null;
    if (job.status === "error") {
      this.body.replaceChildren(this.failure());
      return;
    }
    try {
      const { summary } = await request(`${jobPath(job.job_id)}/result`);
      if (shownId !== job.job_id) return;
      this.showResult(summary, moveFocus);
    } catch (problem) {
      this.body.replaceChildren(problemMessage(problem));
    }
  }

  showResult(summary, moveFocus) {
    const { job } = this;
    const { layers } = summary;
    const onProblem = (problem) => this.problem.replaceChildren(problemMessage(problem));
    const more = details(job, summary, onProblem);
    const pictures = viewer(job, layers, more.showStage);
    const last = layers.at(-1);
    const download = saveOnClick(
      element("a", { class: "button primary download", href: layerPath(job.job_id, last.stage) }, t("job.download")),
      () => fileName(job, "protected", suffixOf(last)),
      onProblem,
    );
    const side = element(
      "div",
      { class: "result-side panel" },
      download,
      layers.some((layer) => layer.applied && layer.stage !== "original")
        ? null
        : element("p", { class: "notice" }, t("job.unprotected")),
      this.againButtons(layers),
      verdictPanel(job, layers, pictures.lookAt),
      element("div", { class: "actions last" }, this.button("job.delete", "quiet", () => this.remove())),
    );
    this.body.replaceChildren(element("div", { class: "result" }, side, pictures.element), more.element);
    if (job.expires_at) this.state.append(element("span", {}, t("job.expires", { when: formatTime(job.expires_at) })));
    const isFree = document.activeElement === document.body || document.activeElement === this.heading;
    if (moveFocus && isFree) download.focus();
  }

  /** Offer the neighbouring strengths of the one that the job had. */
  againButtons(layers) {
    const index = STRENGTHS.indexOf(strengthOf(layers));
    if (index < 0) return "";
    const again = (key, strength) =>
      strength && this.button(key, "secondary", async () => {
        location.hash = `#/jobs/${(await actions.protectAgain(this.job, layers, strength)).job_id}`;
      });
    const buttons = [again("job.gentler", STRENGTHS[index - 1]), again("job.stronger", STRENGTHS[index + 1])];
    return element("div", { class: "again" }, ...buttons.filter(Boolean));
  }

  failure() {
    const { job } = this;
    const state = actions.stateOf(job);
    const retry = async () => { location.hash = `#/jobs/${(await actions.retryJob(job)).job_id}`; };
    const isDamaged = actions.isDamaged(job); // then trying again would fail again
    return element(
      "section",
      { class: "panel failure" },
      ...(isDamaged ? [problemMessage({ code: "broken-picture" })] : [element("p", {}, t(`job.${state}.explanation`))]),
      state === "error" && !isDamaged ? element("p", {}, t("job.error.next")) : null,
      state === "error" && job.error ? serverText(job.error) : null,
      element(
        "div",
        { class: "actions" },
        isDamaged ? null : this.button("job.retry", "primary", retry),
        this.button("job.delete", "quiet", () => this.remove()),
      ),
    );
  }

  remove() {
    const { job } = this;
    leaveJob();
    location.hash = "#/";
    deleteWithUndo([job]);
  }

  async attempt(action) {
    this.problem.replaceChildren();
    try {
      await action();
    } catch (problem) {
      if (problem.code === "not-found") this.showGone();
      else this.problem.replaceChildren(problemMessage(problem));
    }
  }

  showGone() {
    leaveJob();
    this.progress = null;
    this.body.replaceChildren();
    this.words.textContent = t("job.gone", { name: nameOf(this.job) });
  }
}

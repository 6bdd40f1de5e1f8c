/** The page of one job: while it runs, how far it is; then what became of the picture. */
import { effectChart } from "./effect_chart.js";
import { element } from "./elements.js";
import { understand } from "./explanation.js";
import { figures } from "./figures.js";
import { ask } from "./gateway.js";
import * as actions from "./job_actions.js";
import { follow } from "./live.js";
import { look } from "./look.js";
import { nameOf } from "./names.js";
import { told } from "./problems.js";
import { moment, percent, say } from "./strings.js";

let stop = null;
let shownId = null; // what arrives late for another job is dropped

/** Shows the job in `screen`; resolves when its heading can take the focus. */
export async function showJob(screen, jobId) {
  leaveJob();
  shownId = jobId;
  const back = element("a", { class: "back", href: "#/" }, `← ${say("job.back")}`);
  screen.replaceChildren(back);
  try {
    const job = await ask(`v1/jobs/${jobId}`);
    if (shownId !== jobId) return;
    new JobScreen(screen, back, job);
  } catch (problem) {
    const words = say(problem.code === "not-found" ? "job.none" : "title");
    screen.replaceChildren(back, element("h1", { tabindex: "-1" }, words), told(problem));
  }
}

export function leaveJob() {
  stop?.();
  stop = shownId = null;
}

class JobScreen {
  constructor(screen, back, job) {
    this.job = job;
    this.heading = element("h1", { tabindex: "-1" });
    this.words = element("span", { class: "mark" });
    this.progress = element("progress", { max: 1 });
    this.percent = element("span", {});
    this.state = element("div", { class: "state", role: "status" }, this.words);
    this.meter = element("div", { class: "state" }, this.progress, this.percent);
    this.buttons = element("div", { class: "actions" });
    this.trouble = element("div", { role: "alert" });
    this.head = element("header", { class: "job-head" }, this.heading, this.state, this.meter, this.trouble, this.buttons);
    this.body = element("div", { class: "job-page" });
    screen.replaceChildren(back, this.head, this.body);
    this.show(job);
    if (actions.isOpen(job)) stop = follow(job, (kind, change) => this.changed(kind, change));
    else this.showEnd();
  }

  changed(kind, change) {
    if (kind === "deleted") {
      this.gone();
      return;
    }
    this.show({ ...this.job, queue_position: null, ...change });
    if (actions.isOpen(this.job)) return;
    stop?.();
    stop = null;
    actions.announceEnd(this.job);
    this.showEnd();
  }

  show(job) {
    const words = actions.stateWords(job);
    this.job = job;
    const name = nameOf(job);
    this.heading.textContent = name;
    document.title = `${name} – ${say("title")}`;
    this.head.dataset.state = job.error_code === "cancelled" ? "cancelled" : job.status;
    if (this.words.textContent !== words) this.words.textContent = words;
    this.meter.hidden = job.status !== "running";
    this.progress.value = job.progress;
    this.progress.setAttribute("aria-label", say("job.progress", { name }));
    this.percent.textContent = percent(job.progress);
    if (this.shownStatus !== job.status) this.showButtons(job);
    this.shownStatus = job.status;
  }

  showButtons(job) {
    const made = [];
    const button = (action, kind, onclick) =>
      made.push(element("button", { type: "button", class: kind, onclick: () => this.doing(onclick) }, say(`job.${action}`)));
    if (actions.isOpen(job)) {
      button("cancel", "secondary", async () => this.changed("error", await actions.cancel(this.job)));
    }
    if (job.status === "error") {
      button("retry", "primary", async () => { location.hash = `#/jobs/${(await actions.retry(job)).job_id}`; });
    }
    button("delete", "quiet", async () => { if (await actions.remove(this.job)) location.hash = "#/"; });
    this.buttons.replaceChildren(...made);
  }

  async showEnd() {
    const { job } = this;
    if (job.status === "error") {
      this.body.replaceChildren(failure(job));
      return;
    }
    try {
      const { summary } = await ask(`v1/jobs/${job.job_id}/result`);
      if (shownId !== job.job_id) return;
      const { layers } = summary;
      const parts = [look(job, layers), understand(layers), figures(layers), effectChart(layers)];
      this.body.replaceChildren(...parts.filter(Boolean));
      if (job.expires_at) this.state.append(element("span", {}, say("job.expires", { when: moment(job.expires_at) })));
    } catch (problem) {
      this.body.replaceChildren(told(problem));
    }
  }

  async doing(what) {
    this.trouble.replaceChildren();
    try {
      await what();
    } catch (problem) {
      if (problem.code === "not-found") this.gone();
      else this.trouble.replaceChildren(told(problem));
    }
  }

  gone() {
    leaveJob();
    this.body.replaceChildren();
    this.buttons.replaceChildren();
    this.meter.hidden = true;
    this.words.textContent = say("job.gone", { name: this.heading.textContent });
  }
}

function failure(job) {
  const code = job.error_code === "cancelled" ? "cancelled" : "failed";
  return element(
    "section",
    { class: "panel" },
    element("p", {}, say(`job.${code}.words`)),
    code === "failed" ? element("p", {}, say("job.failed.next")) : null,
    code === "failed" ? element("p", { class: "hint" }, say("job.failed.reason", { reason: job.error })) : null,
  );
}

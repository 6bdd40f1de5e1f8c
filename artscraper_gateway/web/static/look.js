/** The part of the job page that shows the pictures: tools, comparison, steps, downloads. */
import { Comparison } from "./comparison.js";
import { element } from "./elements.js";
import { archivePath, layerPath } from "./gateway.js";
import { nameOf } from "./names.js";
import { told } from "./problems.js";
import { savesAs } from "./saving.js";
import { percent, say, stageName } from "./strings.js";
import { layerThumbnail } from "./thumbnails.js";

const ZOOMS = ["fit", 1, 2, 4];

export function look(job, layers) {
  const comparison = new Comparison(job.job_id, layers);
  const steps = layers.length > 1 ? layers.slice(1) : layers;
  const last = steps.at(-1).stage;
  const trouble = element("div", { role: "alert" });
  const link = (kind, words, stage) =>
    savesAs(
      element("a", { class: `button ${kind}`, href: layerPath(job.job_id, stage()) }, words),
      () => fileName(job, layers, stage()),
      (problem) => trouble.replaceChildren(told(problem)),
    );
  const final = link("primary", say("look.download.final"), () => last);
  let shown = last;
  const step = link("secondary", say("look.download.layer"), () => shown);
  const choose = (stage) => {
    shown = stage;
    comparison.show({ stage });
    step.href = layerPath(job.job_id, stage);
  };
  const panel = element(
    "section",
    { class: "panel", "aria-labelledby": "look-heading" },
    element("h2", { id: "look-heading" }, say("look.heading")),
    tools(comparison, steps),
    comparison.element,
    comparison.hint,
    strip(job, steps, last, choose),
    element("div", { class: "actions downloads" }, final, step, archive(job)),
    trouble,
  );
  // Sizes are known once it stands in the page.
  requestAnimationFrame(() => {
    choose(last);
    const shownSteps = panel.querySelector(".strip");
    shownSteps.scrollLeft = shownSteps.scrollWidth;
  });
  return panel;
}

function tools(comparison, steps) {
  const zooms = ZOOMS.map((zoom) => [zoom, zoom === "fit" ? say("look.fit") : percent(zoom)]);
  const views = [["compare", say("look.compare")], ["change", say("look.change")]];
  const hasChange = steps.some((layer) => layer.mask_path);
  return element(
    "div",
    { class: "look-tools" },
    segments("zoom", say("look.zoom"), zooms, (zoom) => comparison.show({ zoom })),
    hasChange ? segments("view", say("look.view"), views, (view) => comparison.show({ view })) : null,
  );
}

function segments(name, legend, options, choose) {
  const made = options.map(([value, words], index) =>
    element(
      "label",
      {},
      element("input", { type: "radio", name, checked: index === 0, onchange: () => choose(value) }),
      words,
    ),
  );
  return element(
    "fieldset",
    {},
    element("legend", { class: "unseen" }, legend),
    element("div", { class: "segments" }, ...made),
  );
}

function strip(job, steps, first, choose) {
  const made = steps.map((layer) =>
    element(
      "label",
      {},
      element("input", {
        type: "radio",
        name: "layer",
        value: layer.stage,
        checked: layer.stage === first,
        onchange: () => choose(layer.stage),
      }),
      layerThumbnail(job.job_id, layer.stage, 240),
      stageName(layer.stage),
      layer.applied ? null : element("small", {}, say("look.layer.skipped")),
    ),
  );
  return element(
    "fieldset",
    {},
    element("legend", { class: "unseen" }, say("look.layers")),
    element("div", { class: "strip" }, ...made),
  );
}

const archive = (job) =>
  element("a", { class: "button secondary", href: archivePath(job.job_id), download: true }, say("look.download.zip"));

const baseName = (job) => nameOf(job).replace(/\.\w{1,5}$/, "").replace(/[\\/:*?"<>|]/g, "-").slice(0, 100);

function fileName(job, layers, stage) {
  const suffix = layers.find((layer) => layer.stage === stage).path.split(".").at(-1);
  return `${baseName(job)}-${stage}.${suffix}`;
}

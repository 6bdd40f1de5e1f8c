/** Everything behind "Details": sentences, files, metrics, limits. */
import { archivePath, layerPath } from "./api.js";
import { element } from "./dom.js";
import { saveOnClick, suffixOf } from "./download.js";
import { effectChart } from "./effect_chart.js";
import { fileNotes } from "./file_notes.js";
import { metricsTable } from "./metrics_table.js";
import { fileName } from "./names.js";
import { sentences } from "./sentences.js";
import { stageName, t } from "./strings.js";

const LIMITS = [1, 2, 3, 4, 5];

/** Return `{ element, showStage(stage) }`; `onProblem` receives failed downloads. */
export function details(job, { layers, notes }, onProblem) {
  let stage = layers.at(-1).stage;
  const link = element("a", { class: "button secondary" });
  const showStage = (name) => {
    stage = name;
    link.href = layerPath(job.job_id, stage);
    link.textContent = t("details.download.step", { stage: stageName(stage) });
  };
  showStage(stage);
  const stepFile = () => fileName(job, stage, suffixOf(layers.find((layer) => layer.stage === stage)));
  saveOnClick(link, stepFile, onProblem);
  const archive = element("a", { class: "button secondary", href: archivePath(job.job_id), download: true }, t("details.download.zip"));
  const panel = element(
    "details",
    { class: "panel details", id: "details" },
    element("summary", {}, element("span", { role: "heading", "aria-level": "2" }, t("details.heading"))),
    element(
      "div",
      { class: "details-body" },
      textList("details.achieved", sentences(layers)),
      fileNotes(notes),
      textList("limits.heading", LIMITS.map((index) => t(`limits.${index}`))),
      metricsTable(layers) ?? "",
      effectChart(layers) ?? "",
      element("section", {}, element("h3", {}, t("details.files")), element("div", { class: "actions" }, link, archive)),
    ),
  );
  return { element: panel, showStage };
}

function textList(heading, texts) {
  if (!texts.length) return "";
  const items = texts.map((text) => element("li", {}, text));
  return element("section", {}, element("h3", {}, t(heading)), element("ul", { class: "sentences" }, ...items));
}

/** The metrics of each step as a table. */
import { element } from "./dom.js";
import { formatNumber, stageName, t } from "./strings.js";
import { visibilityOf } from "./verdict.js";

const NONE = "–";
const format = (value, digits = 2) => (typeof value === "number" ? formatNumber(value, digits) : NONE);
const COLUMNS = [
  ["linf", (metrics) => format(metrics.linf, 0)],
  ["visibility", (metrics) => format(visibilityOf(metrics))],
  ["psnr", (metrics) => format(metrics.psnr_db, 1)],
  ["ssim", (metrics) => format(metrics.ssim, 3)],
  ["plain", (metrics) => format(metrics.times_noise?.plain)],
  ["jpeg_75", (metrics) => format(metrics.times_noise?.jpeg_75)],
  ["halved", (metrics) => format(metrics.times_noise?.halved)],
  ["shaped", (metrics) => format(metrics.times_shaped_noise?.plain)],
];

export function metricsTable(layers) {
  const measured = layers.filter((layer) => layer.metrics);
  if (!measured.length) return null;
  // A column without a value is left out: not every release measures everything.
  const columns = COLUMNS.filter(([, read]) => measured.some((layer) => read(layer.metrics) !== NONE));
  const heads = columns.map(([name]) => element("th", { scope: "col" }, t(`metrics.${name}`)));
  const rows = measured.map((layer) => tableRow(layer, columns));
  const table = element(
    "table",
    { "aria-labelledby": "metrics-heading", "aria-describedby": "metrics-caption" },
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, t("metrics.step")), ...heads)),
    element("tbody", {}, ...rows),
  );
  const region = { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": "metrics-heading" };
  return element(
    "section",
    {},
    element("h3", { id: "metrics-heading" }, t("metrics.heading")),
    element("p", { id: "metrics-caption", class: "hint" }, t("metrics.caption")),
    element("div", region, table),
    element("p", { class: "hint" }, t("metrics.explanation")),
  );
}

function tableRow(layer, columns) {
  const cells = columns.map(([, read]) => element("td", {}, read(layer.metrics)));
  return element("tr", {}, element("th", { scope: "row" }, stageName(layer.stage)), ...cells);
}

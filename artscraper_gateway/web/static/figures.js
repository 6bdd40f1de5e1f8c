/** The metrics as a table. */
import { element } from "./elements.js";
import { number, say, stageName } from "./strings.js";

const NONE = "–";
const COLUMNS = [
  ["linf", (metrics) => count(metrics.linf)],
  ["psnr", (metrics) => shown(metrics.psnr_db, 1)],
  ["ssim", (metrics) => shown(metrics.ssim, 3)],
  ["plain", (metrics) => shown(metrics.times_noise?.plain)],
  ["jpeg_75", (metrics) => shown(metrics.times_noise?.jpeg_75)],
  ["halved", (metrics) => shown(metrics.times_noise?.halved)],
];
const shown = (value, digits = 2) => (typeof value === "number" ? number(value, digits) : NONE);
const count = (value) => (typeof value === "number" ? String(value) : NONE);

export function figures(layers) {
  const heads = COLUMNS.map(([name]) => element("th", { scope: "col" }, say(`figures.${name}`)));
  const rows = layers.filter((layer) => layer.metrics).map(row);
  const table = element(
    "table",
    { "aria-labelledby": "figures-heading", "aria-describedby": "figures-caption" },
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, say("figures.step")), ...heads)),
    element("tbody", {}, ...rows),
  );
  const region = { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": "figures-heading" };
  return element(
    "section",
    { class: "panel" },
    element("h2", { id: "figures-heading" }, say("figures.heading")),
    element("p", { id: "figures-caption", class: "figures-caption" }, say("figures.caption")),
    element("div", region, table),
    element("p", { class: "hint" }, say("figures.explain")),
  );
}

function row(layer) {
  const cells = COLUMNS.map(([, read]) => element("td", {}, read(layer.metrics)));
  return element("tr", {}, element("th", { scope: "row" }, stageName(layer.stage)), ...cells);
}

/** A bar chart: how far each step has moved the encoder, as multiples of noise. */
import { element, svgElement } from "./dom.js";
import { formatNumber, stageName, t } from "./strings.js";
import { isAttack } from "./verdict.js";

const SERIES = ["plain", "jpeg_75", "halved"];
const MAX_WIDTH = 640, LABELS = 108, VALUES = 44, BAR = 14, GAP = 3, GROUP = 22, TOP = 20;

export function effectChart(layers) {
  const attacks = layers.filter(isAttack);
  if (!attacks.length) return null;
  const height = TOP + attacks.length * (SERIES.length * (BAR + GAP) + GROUP);
  const svg = svgElement("svg", { role: "img", "aria-label": summary(attacks), height });
  const figure = element("figure", { class: "chart" }, element("figcaption", { class: "hint" }, t("chart.caption")), key(), svg);
  // Drawn in CSS pixels, and again when the width changes, so that letters keep their size.
  new ResizeObserver(() => draw(svg, attacks, Math.min(MAX_WIDTH, figure.clientWidth), height)).observe(figure);
  return element("section", {}, element("h3", {}, t("chart.heading")), figure);
}

function draw(svg, attacks, width, height) {
  if (!width || Number(svg.getAttribute("width")) === width) return;
  svg.setAttribute("width", width);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const values = attacks.flatMap(({ metrics }) => SERIES.map((name) => metrics.times_noise[name] ?? 0));
  const scale = (value) => (value / Math.max(1.5, ...values)) * (width - LABELS - VALUES);
  const rows = attacks.flatMap((layer, index) => bars(layer, TOP + index * (SERIES.length * (BAR + GAP) + GROUP), scale));
  svg.replaceChildren(...noiseLine(LABELS + scale(1), height), ...rows);
}

function bars({ stage, metrics }, top, scale) {
  const label = svgElement("text", { x: 0, y: top + BAR + GAP + BAR / 2 + 2 }, stageName(stage));
  const shown = SERIES.flatMap((name, index) => {
    const value = metrics.times_noise[name];
    if (typeof value !== "number") return [];
    const [y, width] = [top + index * (BAR + GAP), scale(value)];
    return [
      svgElement("rect", { x: LABELS, y, width, height: BAR, rx: 2, class: name }),
      svgElement("text", { x: LABELS + width + 6, y: y + BAR - 3 }, formatNumber(value)),
    ];
  });
  return [label, ...shown];
}

const noiseLine = (x, height) => [
  svgElement("line", { x1: x, x2: x, y1: TOP - 5, y2: height - GROUP / 2, class: "grid" }),
  svgElement("text", { x, y: 11, "text-anchor": "middle", class: "soft" }, t("chart.noise")),
];

function key() {
  const entries = SERIES.map((name) =>
    element(
      "li",
      {},
      svgElement("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, svgElement("rect", { width: 10, height: 10, rx: 2, class: name })),
      t(`chart.series.${name}`),
    ),
  );
  return element("ul", { class: "key" }, ...entries);
}

const summary = (attacks) =>
  attacks
    .map(({ stage, metrics }) => `${stageName(stage)}: ${SERIES.map((name) => `${formatNumber(metrics.times_noise[name] ?? 0)} ${t(`chart.series.${name}`)}`).join(", ")}`)
    .join("; ");

/** A bar chart: how far each step has moved the encoder, as multiples of noise. */
import { element, svgElement } from "./dom.js";
import { formatNumber, stageName, t } from "./strings.js";
import { isAttack } from "./verdict.js";

const SERIES = ["plain", "jpeg_75", "halved"];
const MAX_WIDTH = 640, LABELS = 108, VALUES = 44, BAR = 14, GAP = 3, GROUP = 22, TOP = 20;

export function effectChart(layers) {
  const groups = groupsOf(layers);
  if (!groups.length) return null;
  const height = TOP + groups.reduce((sum, { values }) => sum + values.length * (BAR + GAP) + GROUP, 0);
  const svg = svgElement("svg", { role: "img", "aria-label": summary(groups), height });
  const figure = element("figure", { class: "chart" }, element("figcaption", { class: "hint" }, t("chart.caption")), key(), svg);
  // Drawn in CSS pixels, and again when the width changes, so that letters keep their size.
  new ResizeObserver(() => draw(svg, groups, Math.min(MAX_WIDTH, figure.clientWidth), height)).observe(figure);
  return element("section", {}, element("h3", {}, t("chart.heading")), figure);
}

/** Return `{ label, values: [[series, multiple]] }` of each attack's layer, and of the last layer. */
function groupsOf(layers) {
  const attacks = layers.filter(isAttack);
  const groups = attacks.map(({ stage, metrics }) => [stageName(stage), metrics.times_noise]);
  const final = attacks.at(-1)?.metrics.final?.times_noise;
  if (final) groups.push([t("chart.final"), final]);
  return groups
    .map(([label, times]) => ({ label, values: SERIES.map((name) => [name, times[name]]).filter(([, value]) => typeof value === "number") }))
    .filter(({ values }) => values.length);
}

function draw(svg, groups, width, height) {
  if (!width || Number(svg.getAttribute("width")) === width) return;
  svg.setAttribute("width", width);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const largest = Math.max(1.5, ...groups.flatMap(({ values }) => values.map(([, value]) => value)));
  const scale = (value) => (value / largest) * (width - LABELS - VALUES);
  let top = TOP;
  const rows = groups.flatMap((group) => {
    const drawn = bars(group, top, scale);
    top += group.values.length * (BAR + GAP) + GROUP;
    return drawn;
  });
  svg.replaceChildren(...noiseLine(LABELS + scale(1), height), ...rows);
}

function bars({ label, values }, top, scale) {
  const middle = top + (values.length * (BAR + GAP) - GAP) / 2;
  const shown = values.flatMap(([name, value], index) => {
    const [y, width] = [top + index * (BAR + GAP), scale(value)];
    return [
      svgElement("rect", { x: LABELS, y, width, height: BAR, rx: 2, class: name }),
      svgElement("text", { x: LABELS + width + 6, y: y + BAR - 3 }, formatNumber(value)),
    ];
  });
  return [svgElement("text", { x: 0, y: middle + 4 }, label), ...shown];
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

const summary = (groups) =>
  groups
    .map(({ label, values }) => `${label}: ${values.map(([name, value]) => `${formatNumber(value)} ${t(`chart.series.${name}`)}`).join(", ")}`)
    .join("; ");

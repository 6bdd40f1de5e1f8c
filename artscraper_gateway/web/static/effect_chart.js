/** A small chart: how far each stage has moved the encoder, in times of noise. */
import { drawn, element } from "./elements.js";
import { isAttack } from "./explanation.js";
import { number, say, stageName } from "./strings.js";

const SERIES = ["plain", "jpeg_75", "halved"];
const WIDEST = 560, MARGINS = 64, LABELS = 108, VALUES = 44, BAR = 14, GAP = 3, GROUP = 22, TOP = 20;

export function effectChart(layers) {
  const attacks = layers.filter(isAttack);
  if (!attacks.length) return null;
  const width = Math.min(WIDEST, window.innerWidth - MARGINS); // so that letters keep their size
  const rowHeight = SERIES.length * (BAR + GAP) + GROUP;
  const height = TOP + attacks.length * rowHeight;
  const most = Math.max(1.5, ...attacks.flatMap(({ metrics }) => SERIES.map((name) => metrics.times_noise[name] ?? 0)));
  const scale = (value) => (value / most) * (width - LABELS - VALUES);
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": summary(attacks) });
  svg.append(...noiseLine(LABELS + scale(1), height));
  attacks.forEach((layer, index) => svg.append(...bars(layer, TOP + index * rowHeight, scale)));
  return element(
    "section",
    { class: "panel" },
    element("h2", {}, say("chart.heading")),
    element("figure", { class: "chart" }, element("figcaption", {}, say("chart.caption")), key(), svg),
  );
}

function bars({ stage, metrics }, top, scale) {
  const label = drawn("text", { x: 0, y: top + BAR + GAP + BAR / 2 + 2 }, stageName(stage));
  return SERIES.reduce(
    (made, name, index) => {
      const value = metrics.times_noise[name];
      if (typeof value !== "number") return made;
      const [y, width] = [top + index * (BAR + GAP), scale(value)];
      const bar = drawn("rect", { x: LABELS, y, width, height: BAR, rx: 2, class: name });
      const text = drawn("text", { x: LABELS + width + 6, y: y + BAR - 3 }, number(value));
      return [...made, bar, text];
    },
    [label],
  );
}

const noiseLine = (x, height) => [
  drawn("line", { x1: x, x2: x, y1: TOP - 5, y2: height - GROUP / 2, class: "grid" }),
  drawn("text", { x, y: 11, "text-anchor": "middle", class: "soft" }, say("chart.noise")),
];

function key() {
  const entries = SERIES.map((name) =>
    element(
      "li",
      {},
      drawn("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, drawn("rect", { width: 10, height: 10, rx: 2, class: name })),
      say(`chart.series.${name}`),
    ),
  );
  return element("ul", { class: "key" }, ...entries);
}

const summary = (attacks) =>
  attacks
    .map(({ stage, metrics }) => `${stageName(stage)}: ${SERIES.map((name) => `${number(metrics.times_noise[name] ?? 0)} ${say(`chart.series.${name}`)}`).join(", ")}`)
    .join("; ");

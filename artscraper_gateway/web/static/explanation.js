/** What was achieved, in words made from the metrics, and what was not. */
import { element } from "./elements.js";
import { percent, say, stageName } from "./strings.js";

// Rules of thumb for how visible noise is; docs/protection.md has what was measured.
const VISIBILITY = [
  { words: "very", psnr: 42, ssim: 0.98 },
  { words: "hard", psnr: 36, ssim: 0.95 },
];
const UNPROTECTED = 1.3; // times noise below which a stage counts as having no effect
const UNKNOWN = "–"; // where noise has no effect there are no times of it

export const isAttack = (layer) => layer.applied && layer.metrics?.times_noise !== undefined;

/** Returns sentences, the most important first. */
export function achieved(layers) {
  const changed = layers.filter((layer) => layer.metrics);
  if (!changed.length) return [say("understand.none")];
  return [
    changeSentence(changed.at(-1).metrics, changed.findLast(isAttack)?.metrics.budget),
    ...effectSentences(changed),
    ...layers.flatMap(stageSentences),
  ];
}

/** `budget`: what the strength allows the attacks; marks and lossy formats come on top. */
function changeSentence({ linf, psnr_db: psnr, ssim }, budget) {
  if (linf === 0) return say("understand.same");
  const found = VISIBILITY.find((each) => psnr >= each.psnr && ssim >= each.ssim);
  const words = { linf, visible: say(`understand.visible.${found?.words ?? "may"}`) };
  const over = linf > budget ? ` ${say("understand.over", { budget })}` : "";
  return `${say("understand.change", words)}${over} ${say("understand.visible.look")}`;
}

/** Of the picture as delivered: `final` is what its last layer keeps of the effect. */
function effectSentences(changed) {
  const attacks = changed.filter(isAttack);
  if (!attacks.length) return [say("understand.none")];
  const { final, ...own } = attacks.at(-1).metrics;
  const { times_noise: times, encoder, unattacked } = final ?? own;
  const said = [
    say("understand.effect", timesOf(times)),
    say("understand.effect.own", { encoder }),
  ];
  if (unattacked?.times_noise) {
    const seen = timesOf(unattacked.times_noise);
    said.push(say("understand.effect.other", { encoder: unattacked.encoder, ...seen }));
  } else if (unattacked?.error) {
    said.push(say("understand.effect.unseen", unattacked));
  }
  return said;
}

const timesOf = ({ plain, jpeg_75: jpeg, halved }) => ({
  plain: plain ?? UNKNOWN,
  jpeg: jpeg ?? UNKNOWN,
  halved: halved ?? UNKNOWN,
});

function stageSentences(layer) {
  const { metrics, stage } = layer;
  const said = faceSentences(layer);
  if (!layer.applied && !said.length) {
    return [say("understand.skipped", { stage: stageName(stage), reason: layer.reason })];
  }
  if (isAttack(layer) && (metrics.effective === false || metrics.times_noise.plain < UNPROTECTED)) {
    said.push(say("understand.weak", { stage: stageName(stage) }));
  }
  if (stage === "invisible-watermark" && layer.applied) {
    said.push(
      metrics.decoded
        ? say("understand.watermark", { percent: percent(metrics.confidence) })
        : say("understand.watermark.lost"),
    );
  }
  if (stage === "c2pa" && metrics?.signed) said.push(say("understand.c2pa"));
  return said;
}

/** A stage that cloaks faces reports a row for each; `final` is what the last layer keeps. */
function faceSentences({ metrics }) {
  const faces = metrics?.final?.faces ?? metrics?.faces;
  if (!faces) return [];
  if (!faces.length) return [say("understand.faces.none")];
  const nearest = faces.reduce((a, b) => (a.distance.plain <= b.distance.plain ? a : b));
  const { distance, threshold } = nearest;
  const words = { count: faces.length, distance: distance.plain, threshold };
  const reached = distance.plain >= threshold ? "reached" : "missed";
  return [`${say("understand.faces", words)} ${say(`understand.faces.${reached}`)}`];
}

export function understand(layers) {
  const caution = [1, 2, 3, 4, 5].map((index) => element("li", {}, say(`limits.${index}`)));
  return element(
    "div",
    { class: "two" },
    element(
      "section",
      { class: "panel" },
      element("h2", {}, say("understand.heading")),
      element("ul", { class: "words" }, ...achieved(layers).map((text) => element("li", {}, text))),
    ),
    element(
      "section",
      { class: "panel" },
      element("h2", {}, say("limits.heading")),
      element("ul", { class: "caution" }, ...caution),
    ),
  );
}

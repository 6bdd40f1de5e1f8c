/** The details of a finished job in sentences. */
import { isAttack, changedLayers, effectOf, visibilityOf } from "./verdict.js";
import { formatNumber, formatPercent, stageName, t } from "./strings.js";

const UNKNOWN = "–"; // where noise has no effect there is no ratio to it
// The runner's reasons for skipping a stage, which are English, and their keys here.
const REASONS = [
  [/no face/, "no_face"],
  [/too small|px|cannot be read back/, "too_small"],
  [/transparent/, "transparent"],
  [/destroy|only .* files can be signed/, "format"],
  [/certificate/, "no_certificate"],
  [/install|extra|weights|recogniser|model/, "not_installed"],
];

/** Return sentences, the most important first. */
export function sentences(layers) {
  const changed = changedLayers(layers);
  return [...changeSentences(changed), ...effectSentences(layers), ...layers.flatMap(stageSentences)];
}

/** How far the picture differs; `budget` is what the strength allows the attacks. */
function changeSentences(changed) {
  const last = changed.at(-1)?.metrics;
  if (!last) return [];
  if (last.linf === 0) return [t("details.same")];
  const budget = changed.findLast(isAttack)?.metrics.budget;
  const texts = [t("details.change", { linf: last.linf })];
  if (last.linf > budget) texts.push(t("details.over", { budget }));
  const visibility = visibilityOf(last);
  if (visibility !== null) texts.push(t("details.visibility", { visibility }));
  return texts;
}

function effectSentences(layers) {
  const effect = effectOf(layers);
  if (!effect) return [];
  const texts = [t("details.effect", ratios(effect.times_noise))];
  if (effect.times_shaped_noise) texts.push(t("details.shaped", ratios(effect.times_shaped_noise)));
  if (typeof effect.clean_jpeg_75_effect === "number") {
    texts.push(t("details.clean_jpeg", {
      effect: formatNumber(effect.effect.plain),
      jpeg: formatNumber(effect.clean_jpeg_75_effect),
    }));
  }
  texts.push(t("details.effect.own", { encoder: effect.encoder }));
  const { unattacked } = effect;
  if (unattacked?.times_noise) {
    texts.push(t("details.effect.other", { encoder: unattacked.encoder, ...ratios(unattacked.times_noise) }));
  } else if (unattacked?.error) {
    texts.push(t("details.effect.unknown", { encoder: unattacked.encoder }));
  }
  return texts;
}

const ratios = ({ plain, jpeg_75: jpeg, halved }) => ({
  plain: plain ?? UNKNOWN,
  jpeg: jpeg ?? UNKNOWN,
  halved: halved ?? UNKNOWN,
});

function stageSentences(layer) {
  const { metrics, stage } = layer;
  if (!layer.applied) return [t("details.skipped", { stage: stageName(stage), reason: reasonText(layer.reason) })];
  const texts = faceSentences(metrics);
  if (isAttack(layer) && metrics.effective === false) texts.push(t("details.weak", { stage: stageName(stage) }));
  if (stage === "invisible-watermark") texts.push(watermarkSentence(metrics.final ?? metrics));
  if (stage === "c2pa" && metrics?.signed) texts.push(t("details.c2pa"));
  return texts;
}

const watermarkSentence = ({ decoded, confidence }) =>
  decoded ? t("details.watermark", { percent: formatPercent(confidence) }) : t("details.watermark.lost");

function reasonText(reason) {
  const key = REASONS.find(([pattern]) => pattern.test(reason ?? ""))?.[1] ?? "other";
  return t(`reason.${key}`);
}

function faceSentences(metrics) {
  const faces = metrics?.final?.faces ?? metrics?.faces ?? [];
  return faces.map(({ distance, threshold }, index) =>
    t("details.face", { number: index + 1, distance: formatNumber(distance.plain), threshold: formatNumber(threshold) }),
  );
}

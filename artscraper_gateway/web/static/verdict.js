/** The verdict on a finished job, from the metrics of summary.json: levels, no words. */

// Rules of thumb where a layer has no visibility of its own; docs/protection.md has measurements.
const INVISIBLE = { psnr: 42, ssim: 0.98 };
const HARDLY_VISIBLE = { psnr: 36, ssim: 0.95 };
const VISIBILITY_BOUNDS = { no: 1, hardly: 2 }; // as the command line words it; about Butteraugli's value
const MIN_SIDE = 32; // px below which ratios of latents of a few values mean nothing
const WEAK_RATIO = 1.3; // times noise below which a change has no effect of its own

export const isAttack = (layer) => layer.applied && layer.metrics?.times_noise !== undefined;

export const changedLayers = (layers) => layers.filter((layer) => layer.applied && layer.metrics);

/** Return "nothing", "no", "hardly" or "yes": whether the last layer shows its change. */
export function visibilityLevel(layers) {
  const last = layers.filter((layer) => layer.metrics).at(-1)?.metrics;
  if (!last || last.linf === 0 || !changedLayers(layers).length) return "nothing";
  const visibility = visibilityOf(last);
  if (visibility !== null) {
    return Object.entries(VISIBILITY_BOUNDS).find(([, bound]) => visibility <= bound)?.[0] ?? "yes";
  }
  const meets = ({ psnr, ssim }) => last.psnr_db >= psnr && (last.ssim ?? 1) >= ssim; // tiny pictures have no SSIM
  if (meets(INVISIBLE)) return "no";
  return meets(HARDLY_VISIBLE) ? "hardly" : "yes";
}

/** Return the visibility of a layer on Butteraugli's scale, null if it was not measured. */
export function visibilityOf({ visibility }) {
  const value = typeof visibility === "object" ? visibility?.value : visibility;
  return typeof value === "number" ? value : null;
}

/** Return the metrics of the attacks as the last layer keeps them, null if there was no attack. */
export function effectOf(layers) {
  const last = layers.filter(isAttack).at(-1)?.metrics;
  return last ? (last.final ?? last) : null;
}

/** Return the ratios to noise to judge by: to shaped noise where it was measured. */
const ratiosOf = (effect) => effect.times_shaped_noise ?? effect.times_noise;

/** Return "none", "tiny", "noise", "little" or "yes": what the delivered picture does to the encoder. */
export function effectLevel(layers) {
  const effect = effectOf(layers);
  if (!effect) return "none";
  if (Math.min(...(layers[0].processing_size ?? [Infinity])) < MIN_SIDE) return "tiny";
  const ratios = ratiosOf(effect);
  if (isNoise(effect, layers) || (ratios.plain ?? 0) < WEAK_RATIO) return "noise";
  const unattacked = effect.unattacked?.times_noise ? ratiosOf(effect.unattacked) : {};
  const others = [ratios.jpeg_75, ratios.halved, unattacked.plain];
  return others.some((ratio) => typeof ratio === "number" && ratio < WEAK_RATIO) ? "little" : "yes";
}

/** Return whether the runner found no protection beyond noise: its own verdict, or all attacks. */
function isNoise(effect, layers) {
  if (effect.verdict !== undefined) return effect.verdict !== null;
  return layers.filter(isAttack).every((layer) => layer.metrics.effective === false);
}

/** Return the faces as the last layer shows them: `{ box, isHidden }`; null if none were sought. */
export function faceResults(layers) {
  const cloak = layers.find((layer) => layer.stage === "fawkes");
  if (!cloak) return null;
  const faces = cloak.metrics?.final?.faces ?? cloak.metrics?.faces ?? [];
  return faces.map(({ box, distance, threshold }) => ({ box, isHidden: distance.plain >= threshold }));
}

/** Return the strength that the job's attacks had, null if it had none. */
export const strengthOf = (layers) => layers.find((layer) => layer.metrics?.strength)?.metrics.strength ?? null;

/** Where a change shows first: smooth places, where nothing hides it. */
const TOO_DARK = 24;
const TOO_LIGHT = 246; // of 255: beyond these hardly any change can be made, or seen
const CLIPPED_COST = 20; // in steps of activity
const BASE_MASKING = 4; // of a perfectly smooth place, so that a trace of change there does not win
const isClipped = (light) => light < TOO_DARK || light > TOO_LIGHT;

/** Return the luminance (0 to 255) of RGBA pixels. */
export function luminance({ data, width, height }) {
  const values = new Float32Array(width * height);
  for (let index = 0; index < values.length; index += 1) {
    const at = index * 4;
    values[index] = 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
  }
  return values;
}

/** Return how much each pixel differs from its right and lower neighbours. */
export function activity(values, width, height) {
  const result = new Float32Array(values.length);
  for (let y = 0; y < height - 1; y += 1) {
    for (let x = 0; x < width - 1; x += 1) {
      const at = y * width + x;
      result[at] = Math.abs(values[at] - values[at + 1]) + Math.abs(values[at] - values[at + width]);
    }
  }
  return result;
}

/** Return left and top of the `side` px square with the least `cost(sum)` of its pixels.
 *
 * `sum(values)` adds up every second row and column of an array over the square.
 */
export function bestSquare(width, height, side, cost) {
  const step = Math.max(1, Math.floor(side / 8));
  let best = { left: 0, top: 0, cost: Infinity };
  for (let top = 0; top + side <= height; top += step) {
    for (let left = 0; left + side <= width; left += step) {
      const value = cost((values) => squareSum(values, width, { left, top, side }));
      if (value < best.cost) best = { left, top, cost: value };
    }
  }
  return best;
}

function squareSum(values, width, { left, top, side }) {
  let sum = 0;
  for (let y = top; y < top + side; y += 2) {
    for (let x = left; x < left + side; x += 2) sum += values[y * width + x];
  }
  return sum;
}

/** Return left and top of the smoothest square of `side` px in RGBA pixels. */
export function smoothestSquare(image, side) {
  const light = luminance(image);
  const busy = activity(light, image.width, image.height).map((value, at) => value + (isClipped(light[at]) ? CLIPPED_COST : 0));
  return bestSquare(image.width, image.height, side, (sum) => sum(busy));
}

/** Return the centre, as shares of width and height, of the place where `mask` shows most.
 *
 * `original` and `mask` are RGBA pixels of the same size; `mask` is the amplified change.
 */
export function mostVisiblePlace(original, mask, side) {
  const { width, height } = original;
  const light = luminance(original);
  const masking = activity(light, width, height).map((value) => value + BASE_MASKING);
  const change = luminance(mask).map((value, at) => (isClipped(light[at]) ? 0 : value));
  const { left, top } = bestSquare(width, height, side, (sum) => -sum(change) / sum(masking));
  return { x: (left + side / 2) / width, y: (top + side / 2) / height };
}

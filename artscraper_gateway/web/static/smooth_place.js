/** Where a change shows first: smooth places, where nothing hides it. */
const TOO_DARK = 24;
const TOO_LIGHT = 246; // of 255: beyond these hardly any change can be made, or seen
const CLIPPED_COST = 20; // in steps of activity
const isClipped = (light) => light < TOO_DARK || light > TOO_LIGHT;

/** Return the luminance (0 to 255) of RGBA pixels. */
function luminance({ data, width, height }) {
  const values = new Float32Array(width * height);
  for (let index = 0; index < values.length; index += 1) {
    const at = index * 4;
    values[index] = 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
  }
  return values;
}

/** Return how much each pixel differs from its right and lower neighbours. */
function activity(values, width, height) {
  const result = new Float32Array(values.length);
  for (let y = 0; y < height - 1; y += 1) {
    for (let x = 0; x < width - 1; x += 1) {
      const at = y * width + x;
      result[at] = Math.abs(values[at] - values[at + 1]) + Math.abs(values[at] - values[at + width]);
    }
  }
  return result;
}

/** Return left and top of the smoothest square of `side` px in RGBA pixels. */
export function smoothestSquare(image, side) {
  const { width, height } = image;
  const light = luminance(image);
  const busy = activity(light, width, height).map((value, at) => value + (isClipped(light[at]) ? CLIPPED_COST : 0));
  const step = Math.max(1, Math.floor(side / 8));
  let best = { left: 0, top: 0, cost: Infinity };
  for (let top = 0; top + side <= height; top += step) {
    for (let left = 0; left + side <= width; left += step) {
      const cost = squareSum(busy, width, { left, top, side });
      if (cost < best.cost) best = { left, top, cost };
    }
  }
  return best;
}

/** Add up every second row and column of the square. */
function squareSum(values, width, { left, top, side }) {
  let sum = 0;
  for (let y = top; y < top + side; y += 2) {
    for (let x = left; x < left + side; x += 2) sum += values[y * width + x];
  }
  return sum;
}

// What lies between a photograph and an exported model, with the numbers of keras_pvt: resizing,
// cropping, normalising, and the way back of boxes. For node and for browsers; needs nothing.
//
// An image is { data, width, height }: data has RGB, 0..255, 3 numbers a pixel, row by row.

const MEAN = [0.485, 0.456, 0.406]; // of ImageNet, for images of 0..1
const DEVIATION = [0.229, 0.224, 0.225];
const PADDING = MEAN.map((mean) => Math.round(255 * mean));
const BITS = 22; // after the point, of Pillow's weights for images of 8 bits
const HALF = 1 << (BITS - 1);

/** An image of what a canvas holds: RGBA, whose alpha is dropped. */
export function withoutAlpha({ data, width, height }) {
  const rgb = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    rgb[to++] = data[from];
    rgb[to++] = data[from + 1];
    rgb[to++] = data[from + 2];
  }
  return { data: rgb, width, height };
}

/** keras_pvt.eval_transform: the short side resized, the centre cut out.
 *
 * `resizeSize` is the short side before the crop; by default 256 / 224 of `size`. */
export function evalTransform(image, size, resizeSize = Math.trunc((256 / 224) * size)) {
  const { left, top, width, height } = cropPlace(image, size, resizeSize);
  const resized = resizeAveraged(image, width, height, BICUBIC);
  const crop = new Uint8Array(size * size * 3);
  for (let row = 0; row < size; row++) {
    const start = ((top + row) * width + left) * 3;
    crop.set(resized.data.subarray(start, start + size * 3), row * size * 3);
  }
  return { data: crop, width: size, height: size };
}

/** Where the crop of `evalTransform` lies: its left and top in an image resized to width, height. */
export function cropPlace(image, size, resizeSize) {
  const short = Math.min(image.width, image.height);
  const width = Math.trunc((resizeSize * image.width) / short);
  const height = Math.trunc((resizeSize * image.height) / short);
  return { left: toEven((width - size) / 2), top: toEven((height - size) / 2), width, height };
}

/** Pixels as a model takes them that was exported without --include-preprocessing. */
export function normalised(data) {
  return Float32Array.from(data, (value, n) => (value / 255 - MEAN[n % 3]) / DEVIATION[n % 3]);
}

/** The image as large as it can be in the upper left corner of a canvas, as detectors see it.
 *
 * `antialias`: whether pixels are averaged where it shrinks, as for keras-cv's and KerasHub's
 * detectors; this package's own sample them. Returns the canvas, and the size that the image has
 * on it, `target`. */
export function letterbox(image, height, width, antialias) {
  const scale = Math.min(height / image.height, width / image.width);
  const side = (own) => Math.max(1, Math.trunc(own * scale + 0.5));
  const target = { width: side(image.width), height: side(image.height) };
  const resize = antialias ? resizeAveraged : resizeSampled;
  const resized = resize(image, target.width, target.height, BILINEAR);
  const data = new Uint8Array(width * height * 3);
  for (let n = 0; n < data.length; n++) data[n] = PADDING[n % 3];
  for (let row = 0; row < target.height; row++) {
    const start = row * target.width * 3;
    data.set(resized.data.subarray(start, start + target.width * 3), row * width * 3);
  }
  return { canvas: { data, width, height }, target };
}

/** A box on the canvas of `letterbox`, [left, top, right, bottom], in pixels of the image. */
export function boxBack(box, image, target) {
  return Array.from(box, (value, n) => {
    const [own, scaled] = n % 2 ? [image.height, target.height] : [image.width, target.width];
    return Math.min(Math.max(Math.fround(value / Math.fround(scaled / own)), 0), own);
  });
}

/** Numbers before softmax as probabilities. */
export function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = powers.reduce((one, other) => one + other);
  return powers.map((power) => power / sum);
}

/** The largest of some probabilities, as { probability, index }, largest first. */
export function largest(probabilities, count) {
  return Array.from(probabilities, (probability, index) => ({ probability, index }))
    .sort((one, other) => other.probability - one.probability)
    .slice(0, count);
}

// Keys's cubic with a = -0.5, and the triangle; `reach` is where they become 0.
const BICUBIC = {
  reach: 2,
  weight(distance) {
    const x = Math.abs(distance);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
  },
};
const BILINEAR = { reach: 1, weight: (distance) => Math.max(0, 1 - Math.abs(distance)) };

/** Resize as Pillow does: the filter is stretched where the image shrinks; one side comes after the
 * other, rounded to 8 bits in between. Since Pillow 13 rows come first where the height loses more
 * than twice what the width loses. Source: src/libImaging/Resample.c. */
function resizeAveraged(image, width, height, filter) {
  const lost = image.height - height;
  const rowsFirst = lost > 0 && lost > 2 * (image.width - width);
  return rowsFirst
    ? resizeWidth(resizeHeight(image, height, filter), width, filter)
    : resizeHeight(resizeWidth(image, width, filter), height, filter);
}

function resizeWidth(image, width, filter) {
  const columns = filterWeights(image.width, width, filter);
  const from = image.data;
  const data = new Uint8Array(image.height * width * 3);
  for (let row = 0, to = 0; row < image.height; row++) {
    for (let column = 0; column < width; column++, to += 3) {
      const { first, weights } = columns[column];
      let [red, green, blue] = [HALF, HALF, HALF];
      let at = (row * image.width + first) * 3;
      for (let n = 0; n < weights.length; n++, at += 3) {
        red += from[at] * weights[n];
        green += from[at + 1] * weights[n];
        blue += from[at + 2] * weights[n];
      }
      data[to] = rounded(red);
      data[to + 1] = rounded(green);
      data[to + 2] = rounded(blue);
    }
  }
  return { data, width, height: image.height };
}

function resizeHeight(image, height, filter) {
  const line = image.width * 3;
  const sums = new Int32Array(line);
  const data = new Uint8Array(height * line);
  filterWeights(image.height, height, filter).forEach(({ first, weights }, row) => {
    sums.fill(HALF);
    weights.forEach((weight, n) => {
      const start = (first + n) * line;
      for (let place = 0; place < line; place++) sums[place] += image.data[start + place] * weight;
    });
    for (let place = 0; place < line; place++) data[row * line + place] = rounded(sums[place]);
  });
  return { data, width: image.width, height };
}

const rounded = (sum) => Math.min(255, Math.max(0, sum >> BITS));

/** For each pixel of a side the first of those that it is made of, and their weights: integers,
 * of 2 ** BITS in all. */
function filterWeights(from, to, filter) {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const reach = filter.reach * stretch;
  return Array.from({ length: to }, (_, pixel) => {
    const centre = (pixel + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const end = Math.min(from, Math.trunc(centre + reach + 0.5));
    const own = [];
    for (let n = first; n < end; n++) own.push(filter.weight((n - centre + 0.5) * (1 / stretch)));
    const sum = own.reduce((one, other) => one + other, 0);
    const weights = Int32Array.from(own, (weight) => {
      const share = (weight / sum) * 2 ** BITS;
      return Math.trunc(share < 0 ? share - 0.5 : share + 0.5);
    });
    return { first, weights };
  });
}

/** Resize as keras_pvt.utils.resizing.resized_part does, and round: bilinear, half-pixel centres,
 * no antialias, in float32. */
function resizeSampled(image, width, height) {
  const columns = neighbours(image.width, width);
  const rows = neighbours(image.height, height);
  const between = new Float32Array(image.height * width * 3);
  for (let row = 0, to = 0; row < image.height; row++) {
    for (const { first, second, weight } of columns) {
      const [left, right] = [(row * image.width + first) * 3, (row * image.width + second) * 3];
      for (let n = 0; n < 3; n++) {
        between[to++] = mixed(image.data[left + n], image.data[right + n], weight);
      }
    }
  }
  const data = new Uint8Array(height * width * 3);
  let to = 0;
  for (const { first, second, weight } of rows) {
    for (let n = 0; n < width * 3; n++) {
      const [upper, lower] = [between[first * width * 3 + n], between[second * width * 3 + n]];
      data[to++] = toEven(mixed(upper, lower, weight));
    }
  }
  return { data, width, height };
}

function neighbours(from, to) {
  return Array.from({ length: to }, (_, pixel) => {
    const centre = Math.min(Math.max((pixel + 0.5) * (from / to) - 0.5, 0), from - 1);
    const first = Math.trunc(centre);
    return { first, second: Math.min(first + 1, from - 1), weight: Math.fround(centre - first) };
  });
}

const mixed = (one, other, weight) =>
  Math.fround(Math.fround(Math.fround(other - one) * weight) + one);

/** The nearest integer; halves go to the even one, as in Python. */
function toEven(value) {
  const below = Math.floor(value);
  const part = value - below;
  return below + (part > 0.5 || (part === 0.5 && below % 2 !== 0) ? 1 : 0);
}

// From an image file to the input pixels of the model: upright RGB, stretched to a square.

// A phone's canvas does not hold more pixels than this; the browser shrinks larger photographs first.
const MOST_PIXELS = 16_000_000;

export const RESIZES = {
  training: { title: "as in training", resize: resizeAsTraining },
  browser: { title: "by the browser", resize: resizeByBrowser },
};

/**
 * Decodes an image file, or takes the frame that a video shows.
 *
 * The result is upright by the EXIF orientation, in sRGB, with the background behind transparent pixels, as in training.
 *
 * @param {Blob | HTMLVideoElement} file
 * @param {number[]} background Red, green and blue, 0 to 255: `input.reading.background` of the bundle.
 * @returns {Promise<ImageData>} Opaque RGBA.
 */
export async function decode(file, background = [255, 255, 255]) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Error(`${file.name || "this file"} is not an image that this browser can read.`);
  }
  const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const width = Math.max(1, Math.floor(bitmap.width * shrink));
  const height = Math.max(1, Math.floor(bitmap.height * shrink));
  const pixels = draw(bitmap, width, height, background).getImageData(0, 0, width, height);
  bitmap.close();
  return pixels;
}

/**
 * Resizes an image to the input size of the model.
 *
 * @param {ImageData} image RGBA, opaque.
 * @param {number} size Height and width of the result.
 * @param {string} how A key of `RESIZES`. An image of the exact size is returned unchanged.
 * @returns {Promise<ImageData>}
 */
export async function toModelSize(image, size, how) {
  return image.width === size && image.height === size ? image : RESIZES[how].resize(image, size);
}

async function resizeByBrowser(image, size) {
  const bitmap = await createImageBitmap(image);
  const pixels = draw(bitmap, size, size).getImageData(0, 0, size, size);
  bitmap.close();
  return pixels;
}

// Bilinear with antialiasing like tf.image.resize: a triangle filter as wide as one pixel of the result (of the source,
// when enlarging), centres at half pixels, weights that sum to one at the borders too, no rounding between the two
// directions, and halves rounded to even.
async function resizeAsTraining(image, size) {
  const columns = triangles(image.width, size);
  const rows = triangles(image.height, size);
  const { data, width, height } = image;
  const narrow = new Float32Array(height * size * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < size; x++) {
      const { first, weights } = columns[x];
      let [r, g, b] = [0, 0, 0];
      for (let i = 0, at = 4 * (y * width + first); i < weights.length; i++, at += 4) {
        r += weights[i] * data[at];
        g += weights[i] * data[at + 1];
        b += weights[i] * data[at + 2];
      }
      const to = 3 * (y * size + x);
      narrow[to] = r;
      narrow[to + 1] = g;
      narrow[to + 2] = b;
    }
  }
  const result = new ImageData(size, size);
  result.data.fill(255);
  for (let y = 0; y < size; y++) {
    const { first, weights } = rows[y];
    for (let x = 0; x < size; x++) {
      for (let channel = 0; channel < 3; channel++) {
        let sum = 0;
        for (let i = 0; i < weights.length; i++) sum += weights[i] * narrow[3 * ((first + i) * size + x) + channel];
        result.data[4 * (y * size + x) + channel] = sum; // ImageData rounds and clips the same way
      }
    }
  }
  return result;
}

/** For each pixel of the result: the first source pixel with a weight, and the weights from there on. */
function triangles(source, result) {
  const scale = source / result;
  const reach = Math.max(1, scale);
  return Array.from({ length: result }, (_, index) => {
    const centre = (index + 0.5) * scale;
    const first = Math.max(0, Math.ceil(centre - reach - 0.5));
    const last = Math.min(source - 1, Math.floor(centre + reach - 0.5));
    const weights = [];
    for (let at = first; at <= last; at++) weights.push(Math.max(0, 1 - Math.abs(at + 0.5 - centre) / reach));
    const sum = weights.reduce((a, b) => a + b, 0);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

function draw(bitmap, width, height, background = [255, 255, 255]) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = `rgb(${background.join(" ")})`;
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return context;
}

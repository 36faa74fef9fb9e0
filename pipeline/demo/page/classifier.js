// A bundle, and its variants ready to classify.

import { ENGINES } from "./engines.js";
import { decode, toModelSize } from "./pixels.js";

const WARM_UP = 3;
const RUNS = 15;
const LONGEST_MS = 1500; // for all runs together, so that a slow device does not take too long
const FEWEST = 3;

// Largest allowed difference of a probability from golden/expected.json. float32 allows for another order of the same
// arithmetic; with 8 bits or half floats, correct implementations of an operation may differ by a quantization step.
const TOLERANCE = { float32: 1e-3, float16: 0.01, dynamic: 0.05, int8: 0.05 };

/** Reads `bundle.json` and `golden/expected.json`. */
export async function readBundle() {
  const [bundle, golden] = await Promise.all([json("/bundle/bundle.json"), json("/bundle/golden/expected.json")]);
  return { ...bundle, golden: golden.images, size: bundle.input.shape[1] };
}

/** A variant of a bundle, opened in an engine. */
export class Classifier {
  /**
   * @param {object} bundle Returned by `readBundle`.
   * @param {string} variant
   * @param {string} engine A key of `ENGINES`.
   * @throws {Error} The file is not the one that was measured, or the engine rejects it.
   */
  static async open(bundle, variant, engine) {
    const facts = bundle.variants[variant];
    const bytes = new Uint8Array(await (await get(`/bundle/${facts.file}`)).arrayBuffer());
    await check(bytes, facts);
    try {
      const session = await ENGINES[engine].open(bytes, bundle);
      return new Classifier(bundle, variant, session);
    } catch (error) {
      throw new Error(`${ENGINES[engine].title} cannot load ${facts.file}: ${reason(error)}`);
    }
  }

  constructor(bundle, variant, session) {
    Object.assign(this, { bundle, variant, session });
  }

  /**
   * @param {ImageData} pixels Pixels of the model's input size.
   * @returns {Promise<Float32Array>} Probabilities in the order of the labels.
   */
  async classify(pixels) {
    const probabilities = await this.session.classify(pixels);
    if (probabilities.length !== this.bundle.labels.length) {
      throw new Error(`${probabilities.length} probabilities for ${this.bundle.labels.length} classes`);
    }
    return probabilities;
  }

  /** Decodes, resizes and classifies an image file. */
  async classifyFile(file, how = "training") {
    return this.classify(await toModelSize(await decode(file), this.bundle.size, how));
  }

  /** Measures the median time of one image, from pixels to probabilities, after a warm-up: `{ ms, runs }`. */
  async time(pixels) {
    for (let run = 0; run < WARM_UP; run++) await this.session.classify(pixels);
    const spent = [];
    const end = performance.now() + LONGEST_MS;
    while (spent.length < FEWEST || (spent.length < RUNS && performance.now() < end)) {
      const start = performance.now();
      await this.session.classify(pixels);
      spent.push(performance.now() - start);
      await breathe();
    }
    spent.sort((a, b) => a - b);
    const middle = spent.length / 2;
    return { ms: (spent[Math.ceil(middle) - 1] + spent[Math.floor(middle)]) / 2, runs: spent.length };
  }

  /** Compares a golden image with its expected prediction: `{ image, probabilities, expected, difference, passed }`. */
  async compare(image) {
    const probabilities = await this.classifyFile(await (await get(`/bundle/golden/${image.file}`)).blob());
    const expected = image.probabilities[this.variant];
    const difference = Math.max(...expected.map((value, index) => Math.abs(value - probabilities[index])));
    const passed = top(probabilities) === top(expected) && difference <= tolerance(this.variant);
    await breathe();
    return { image, probabilities, expected, difference, passed };
  }

  close() {
    this.session.close();
  }
}

/** Largest allowed difference of a golden image's probability from the expected one. */
export function tolerance(variant) {
  return TOLERANCE[variant] ?? TOLERANCE.int8;
}

/** Index of the largest probability. */
export function top(probabilities) {
  return probabilities.reduce((best, value, index) => (value > probabilities[best] ? index : best), 0);
}

/**
 * Whether an answer reaches the threshold that the bundle has for its class.
 *
 * @returns {boolean | null} `null` for bundles without thresholds. A class that has none is never certain enough.
 */
export function accepts({ calibration }, probabilities) {
  if (!calibration) return null;
  const best = top(probabilities);
  const threshold = calibration.thresholds[best];
  return threshold !== null && probabilities[best] >= threshold;
}

/** Fetches a file from this server. */
export async function get(path) {
  let answer;
  try {
    answer = await fetch(path);
  } catch {
    throw new Error("The server does not answer. Is `edgetune demo` still running?");
  }
  if (!answer.ok) throw new Error(`${path} cannot be read: ${answer.status} ${answer.statusText}`);
  return answer;
}

/** Message of an error; wasm also throws values that are not errors. */
export function reason(error) {
  return (error instanceof Error ? error.message : "") || "it is damaged, or uses a feature that this engine lacks";
}

async function check(bytes, { file, bytes: size, sha256 }) {
  const remedy = "Copy the bundle again.";
  if (bytes.length !== size) throw new Error(`${file} is damaged: ${bytes.length} bytes instead of ${size}. ${remedy}`);
  if (!globalThis.crypto?.subtle) return; // only available on localhost and over https
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== sha256) throw new Error(`${file} is damaged: it is not the file that was measured. ${remedy}`);
}

async function json(path) {
  return (await get(path)).json();
}

// Lets the browser draw.
function breathe() {
  return new Promise((done) => setTimeout(done));
}

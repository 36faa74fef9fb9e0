// The model of the edge bundle in bundle/: from an image to an answer. Runs in LiteRT.js, on the CPU, in the browser.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { decode, toModelSize } from "./pixels.js";

const WASM = new URL("node_modules/@litertjs/core/wasm/", import.meta.url).href;
const BUNDLE = new URL("bundle/", import.meta.url).href;

// The first of these that is in the bundle is used, unless you name another.
const VARIANTS = ["float16", "float32", "int8", "dynamic"];

// Largest difference from golden/expected.json: kernels sum in another order, or round to another step of 8 bits.
const TOLERANCE = { float32: 0.001, float16: 0.001, int8: 0.05, dynamic: 0.05 };

let runtime; // loaded once

export class Classifier {
  /**
   * Loads a variant of the bundle.
   *
   * @param {string} [variant] Its name in bundle.json.
   * @throws {Error} A file is missing, or the model is not the one that was measured.
   */
  static async open(variant) {
    const facts = await (await get("bundle.json")).json();
    variant ??= VARIANTS.find((name) => name in facts.variants);
    const { file, sha256 } = facts.variants[variant];
    const bytes = new Uint8Array(await (await get(file)).arrayBuffer());
    await check(bytes, file, sha256);
    await (runtime ??= loadLiteRt(WASM));
    return new Classifier(facts, variant, await loadAndCompile(bytes, { accelerator: "wasm" }));
  }

  constructor(facts, variant, model) {
    const [{ dtype, shape }] = model.getInputDetails();
    Object.assign(this, { facts, variant, model, dtype, shape, size: shape[1] });
  }

  /**
   * Classifies a file, or a frame of a camera.
   *
   * @param {Blob | HTMLVideoElement} image The browser turns both upright.
   * @returns {Promise<{ label: string, probability: number, accepted: boolean | null }>} `accepted`: whether the
   *   probability reaches the threshold of the class; null if the bundle has no thresholds.
   */
  async classify(image) {
    const background = this.facts.input.reading?.background;
    const probabilities = await this.probabilities(await toModelSize(await decode(image, background), this.size, "training"));
    const best = probabilities.indexOf(Math.max(...probabilities));
    return { label: this.facts.labels[best], probability: probabilities[best], accepted: this.accepts(best, probabilities[best]) };
  }

  /** Whether an answer reaches the threshold of its class; a class without one is never sure enough. */
  accepts(index, probability) {
    if (!this.facts.calibration) return null;
    const threshold = this.facts.calibration.thresholds[index];
    return threshold !== null && probability >= threshold;
  }

  /**
   * @param {ImageData} pixels Of the model's input size, opaque.
   * @returns {Promise<Float32Array>} Probabilities in the order of the labels.
   */
  async probabilities({ data }) {
    const isFloat = this.dtype === "float32";
    // The float variants take (value - mean) / std of each channel's 0..255; int8 takes the bytes themselves.
    const { mean = 0, std = 1 } = isFloat ? this.facts.input : {};
    const values = new (isFloat ? Float32Array : Uint8Array)((data.length / 4) * 3);
    for (let from = 0, to = 0; from < data.length; from += 4) {
      for (let channel = 0; channel < 3; channel++) values[to++] = (data[from + channel] - mean) / std;
    }
    const tensor = new Tensor(values, this.shape);
    try {
      const [output] = await this.model.run([tensor]);
      const probabilities = Float32Array.from(output.toTypedArray());
      output.delete();
      return probabilities;
    } finally {
      tensor.delete();
    }
  }

  /** Compares the golden images with what was measured: `[{ file, difference, passed }]`. */
  async golden() {
    const { images } = await (await get("golden/expected.json")).json();
    const found = [];
    for (const image of images) {
      const pixels = await decode(await (await get(`golden/${image.file}`)).blob());
      const given = await this.probabilities(await toModelSize(pixels, this.size, "training"));
      const wanted = image.probabilities[this.variant];
      const difference = Math.max(...wanted.map((value, index) => Math.abs(value - given[index])));
      found.push({ file: image.file, difference, passed: difference <= TOLERANCE[this.variant] });
    }
    return found;
  }

  close() {
    this.model.delete();
  }
}

/** Names of the variants in the bundle. */
export async function variants() {
  return Object.keys((await (await get("bundle.json")).json()).variants);
}

async function get(name) {
  const answer = await fetch(BUNDLE + name);
  if (!answer.ok) throw new Error(`bundle/${name} cannot be read: ${answer.status} ${answer.statusText}`);
  return answer;
}

async function check(bytes, file, sha256) {
  if (!globalThis.crypto?.subtle) return; // only there on localhost and over https
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== sha256) throw new Error(`${file} is not the file that was measured: copy the bundle again`);
}

// The engines with a common interface: open a model, classify pixels, close.
// Both compute on the CPU in one thread, like the measurements in bundle.json.

export const ENGINES = {
  litert: { title: "LiteRT.js", package: "@litertjs/core", open: openInLiteRt },
  mediapipe: { title: "MediaPipe", package: "@mediapipe/tasks-vision", open: openInMediaPipe },
};

/**
 * @typedef {object} Session One model in one engine.
 * @property {(pixels: ImageData) => Promise<Float32Array>} classify Probabilities in the order of the labels.
 * @property {() => void} close
 */

let litert; // its wasm is loaded once, at first use

async function openInLiteRt(bytes, { input }) {
  litert ??= import("@litertjs/core").then(async (module) => {
    await module.loadLiteRt("/engines/litert/wasm/");
    return module;
  });
  let module;
  try {
    module = await litert;
  } catch (error) {
    litert = undefined; // so that the next attempt loads it again
    throw error;
  }
  const model = await module.loadAndCompile(bytes, { accelerator: "wasm" });
  const [{ dtype, shape }] = model.getInputDetails();
  const Values = { float32: Float32Array, uint8: Uint8Array }[dtype];
  if (!Values) throw new Error(`its input is ${dtype}, but this page supports only float32 and uint8`);
  return {
    async classify(pixels) {
      const tensor = new module.Tensor(rgb(pixels, Values, input), shape);
      try {
        const [output] = await model.run([tensor]);
        const probabilities = Float32Array.from(output.toTypedArray());
        output.delete();
        return probabilities;
      } finally {
        tensor.delete();
      }
    },
    close: () => model.delete(),
  };
}

let mediapipe;

async function openInMediaPipe(bytes, { labels }) {
  mediapipe ??= import("/engines/vision/vision_bundle.mjs");
  let module;
  try {
    module = await mediapipe;
  } catch (error) {
    mediapipe = undefined;
    throw error;
  }
  const classifier = await module.ImageClassifier.createFromOptions(
    await module.FilesetResolver.forVisionTasks("/engines/vision/wasm"),
    { baseOptions: { modelAssetBuffer: bytes.slice(), delegate: "CPU" }, runningMode: "IMAGE", maxResults: -1 },
  );
  return {
    async classify(pixels) {
      const [{ categories }] = classifier.classify(pixels).classifications;
      const probabilities = new Float32Array(labels.length);
      for (const { index, score, categoryName } of categories) {
        if (categoryName !== labels[index]) {
          throw new Error(`class ${index} is "${categoryName}" in the model, but "${labels[index]}" in bundle.json`);
        }
        probabilities[index] = score;
      }
      return probabilities;
    },
    close: () => classifier.close(),
  };
}

// MediaPipe normalises by itself, as the file's metadata says. The bytes of an integer model are never normalised.
function rgb({ data, width, height }, Values, input) {
  const { mean = 0, std = 1 } = Values === Float32Array ? input : {};
  const values = new Values(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    values[to++] = (data[from] - mean) / std;
    values[to++] = (data[from + 1] - mean) / std;
    values[to++] = (data[from + 2] - mean) / std;
  }
  return values;
}

// The page: controls and results.

import { accepts, Classifier, get, readBundle, reason, tolerance, top } from "./classifier.js";
import { ENGINES } from "./engines.js";
import { decode, RESIZES, toModelSize } from "./pixels.js";

const SHOWN_CLASSES = 6;
const MANY = 30; // more class names than this are not listed

const $ = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
const milliseconds = (ms) => `${ms.toPrecision(ms < 1 ? 2 : 3)}\u00a0ms`;

let bundle, classifier, photograph; // the photograph is { name, image: ImageData }, not yet resized
let chain = Promise.resolve(); // one task at a time, so that no engine is closed while it computes
let latest = 0; // number of the latest request; older requests that still wait are skipped

const chosen = (name) => new FormData($("controls")).get(name);

/** Runs `work` after the running task and shows its error. Skips it if there is a newer request by then. */
function enqueue(work) {
  const mine = ++latest;
  chain = chain.then(async () => {
    if (mine !== latest) return;
    document.body.classList.add("working");
    try {
      await work(() => mine !== latest);
      $("error").hidden = true;
    } catch (error) {
      $("error").textContent = reason(error);
      $("error").hidden = false;
    }
    document.body.classList.remove("working");
    document.body.dataset.done = mine; // for tests: the latest finished request
  });
  return chain;
}

/** Opens the chosen variant in the chosen engine unless it is open already. */
async function open() {
  const [variant, engine] = [chosen("variant"), chosen("engine")];
  if (classifier?.variant === variant && classifier.engine === engine) return;
  const old = classifier;
  classifier = undefined;
  old?.close();
  forget();
  classifier = await Classifier.open(bundle, variant, engine);
  classifier.engine = engine;
}

/** Clears the results of another variant or engine. */
function forget() {
  $("top").textContent = "–";
  for (const id of ["accepted", "score", "time-note", "verdict"]) $(id).textContent = "";
  $("time").textContent = "–";
  $("classes").replaceChildren();
  showMeasured(bundle.variants[chosen("variant")].latency);
  showGolden();
}

async function answer(stale) {
  await open();
  const pixels = await toModelSize(photograph.image, bundle.size, chosen("resize"));
  showPhotograph(pixels);
  showAnswer(await classifier.classify(pixels));
  await breath();
  if (stale()) return;
  const { ms, runs } = await classifier.time(pixels);
  $("time").textContent = milliseconds(ms);
  $("time-note").textContent = `median of ${runs} runs, one thread, pixels to probabilities`;
  if (!$("verdict").textContent) await compare(stale);
}

async function compare(stale) {
  const results = [];
  for (const image of bundle.golden) {
    results.push(await classifier.compare(image));
    if (stale()) return;
    showGolden(results);
  }
  const passed = results.filter((result) => result.passed).length;
  const all = passed === results.length;
  $("verdict").textContent = `${passed} of ${results.length} as expected`;
  $("verdict").className = `badge ${all ? "good" : "bad"}`;
  const largest = Math.max(...results.map((result) => result.difference));
  $("golden-note").textContent = `${goldenNote()} Largest difference here: ${largest.toPrecision(2)}.`;
}

const goldenNote = () =>
  "The true class of each image, and the class that this variant predicts. The bundle holds the expected predictions, " +
  "including wrong ones: an image passes if the predicted class is the expected one and no probability differs by more " +
  `than ${tolerance(chosen("variant"))}.`;

async function choose(blob, name) {
  const image = await decode(blob);
  photograph = { name, image };
}

function take(file) {
  if (file) enqueue(async (stale) => (await choose(file, file.name), answer(stale)));
}

function takeGolden({ file, label }) {
  enqueue(async (stale) => {
    await choose(await (await get(`/bundle/golden/${file}`)).blob(), `Golden image ${file}, true class ${label}`);
    await answer(stale);
  });
}

// Results.

function showPhotograph(pixels) {
  const { name, image } = photograph;
  Object.assign($("seen"), { width: pixels.width, height: pixels.height });
  $("seen").getContext("2d").putImageData(pixels, 0, 0);
  const exact = image.width === bundle.size && image.height === bundle.size;
  const resized = exact ? "the exact size of the model's input" : `stretched to ${bundle.size} × ${bundle.size}`;
  $("caption").textContent = `${name}: ${image.width} × ${image.height} pixels, ${resized}.`;
}

function showAnswer(probabilities) {
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a]);
  const best = top(probabilities);
  $("top").textContent = bundle.labels[best];
  $("score").textContent = percent(probabilities[best]);
  const sure = accepts(bundle, probabilities);
  $("accepted").textContent = sure === null ? "" : sure ? "accepted" : "unsure";
  $("accepted").className = `badge ${sure ? "good" : "bad"}`;
  const threshold = bundle.calibration?.thresholds[best];
  $("accepted").title = threshold ? `The threshold of this class is ${percent(threshold)}.` : "";
  const rows = order.slice(0, SHOWN_CLASSES).map((index) => [bundle.labels[index], probabilities[index]]);
  const rest = order.slice(SHOWN_CLASSES);
  if (rest.length) {
    rows.push([`${rest.length} more`, rest.reduce((sum, index) => sum + probabilities[index], 0)]);
  }
  $("classes").replaceChildren(
    ...rows.map(([label, share]) => {
      const bar = element("span");
      bar.style.width = `${100 * share}%`;
      const track = element("span", { className: "track", ariaHidden: "true" }, bar);
      const number = element("span", { className: "number", textContent: percent(share) });
      return element("li", {}, element("span", { textContent: label, title: label }), track, number);
    }),
  );
}

function showMeasured(latency) {
  $("measured").textContent = latency ? milliseconds(latency.p50_ms) : "–";
  $("measured-note").textContent = latency
    ? `median of ${latency.runs} runs, ${latency.threads === 1 ? "one thread" : `${latency.threads} threads`} on ${latency.cpu}`
    : "";
}

function showGolden(results = []) {
  if (!results.length) $("golden-note").textContent = goldenNote();
  const items = bundle.golden.map((image, number) => {
    const result = results[number];
    const button = element("button", { type: "button", className: result ? (result.passed ? "good" : "bad") : "" });
    button.addEventListener("click", () => takeGolden(image));
    const picture = element("img", { src: `/bundle/golden/${image.file}`, alt: "", width: 56, height: 56 });
    button.append(picture, element("b", { textContent: image.label }));
    const prediction = element("span");
    const mark = element("span", { className: "mark" });
    if (result) {
      const best = top(result.probabilities);
      prediction.textContent = `→ ${bundle.labels[best]} ${percent(result.probabilities[best])}`;
      mark.textContent = result.passed ? "✓ as expected" : `✗ off by ${result.difference.toPrecision(2)}`;
    }
    button.append(prediction, mark);
    return element("li", {}, button);
  });
  $("golden").replaceChildren(...items);
}

function showChoices(id, name, choices) {
  $(id).replaceChildren(
    ...choices.map(([value, title, note], number) => {
      const input = element("input", { type: "radio", name, value, checked: number === 0 });
      input.setAttribute("form", "controls"); // the choices for resizing are outside the form
      const label = element("label", {}, input, element("span", { textContent: title }));
      if (note) label.append(element("small", { textContent: note }));
      return label;
    }),
  );
}

function showBundle(packages) {
  const variants = Object.entries(bundle.variants);
  const { labels, size, lineage, test } = bundle;
  $("title").textContent = document.title = `${lineage?.pipeline ?? "bundle"} · edgetune demo`;
  const names = labels.length > MANY ? "" : `: ${labels.join(", ")}`;
  $("about").textContent =
    `${labels.length} classes at ${size} × ${size} pixels${names}.` +
    (test ? ` Accuracy on ${test.images} test images.` : "");
  showChoices("variants", "variant", variants.map(([name, { bytes, accuracy }]) => [
    name, name, `${(bytes / 1e6).toFixed(2)}\u00a0MB${accuracy === undefined ? "" : ` · ${percent(accuracy)} accuracy`}`,
  ]));
  showChoices("engines", "engine", Object.entries(ENGINES).map(([name, engine]) => [
    name, engine.title, `${engine.package} ${packages[engine.package]}`,
  ]));
  showChoices("resizes", "resize", Object.entries(RESIZES).map(([name, { title, note }]) => [name, title, note]));
  $("resize-note").textContent =
    `The bundle requires resizing by ${bundle.input.resize ?? "bilinear with antialiasing"}. "As in training" computes exactly that. A browser's or ` +
    "phone's own resizing differs slightly, and so may the prediction. An image of the exact input size is not resized.";
  const versions = Object.entries(lineage?.versions ?? {}).map((pair) => pair.join(" "));
  $("versions").textContent = versions.length ? `Made with ${versions.join(", ")}.` : "";
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const breath = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));

// Events.

$("file").addEventListener("change", (event) => {
  take(event.target.files[0]);
  event.target.value = ""; // so that the same file can be chosen again
});
addEventListener("change", (event) => event.target.form === $("controls") && event.target.id !== "file" && enqueue(answer));
$("controls").addEventListener("submit", (event) => event.preventDefault());
addEventListener("paste", (event) => take(event.clipboardData.files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault(); // keeps the browser from opening the file
    document.body.classList.toggle("dragging", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files[0]);
  });
}

enqueue(async (stale) => {
  let packages;
  [bundle, packages] = await Promise.all([readBundle(), get("/engines/package.json").then((file) => file.json())]);
  showBundle(packages.dependencies);
  forget();
  const [first] = bundle.golden;
  if (!first) return;
  await choose(await (await get(`/bundle/golden/${first.file}`)).blob(), `Golden image ${first.file}, true class ${first.label}`);
  await answer(stale);
});

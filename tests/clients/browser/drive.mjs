// Drives the demo's page for test_browser.py. Reads one JSON object from standard input, does each scenario in a tab of
// its own, and writes what each saw as JSON: { scenario: { seen } | { failed } }.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const order = JSON.parse(readFileSync(0, "utf8"));
const require = createRequire(pathToFileURL(`${order.modules}/`));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const WAIT = 60_000;

const browser = await chromium.launch({ executablePath: order.chromium, args: order.flags, timeout: WAIT });
const requests = [];
const seen = {};

async function scenario(name, url, work, { clock, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
  context.setDefaultTimeout(WAIT);
  const page = await context.newPage();
  const thrown = [];
  page.on("pageerror", (error) => thrown.push(error.message));
  page.on("request", (request) => requests.push({ scenario: name, url: request.url() }));
  await page.addInitScript(() => {
    window.violations = [];
    addEventListener("securitypolicyviolation", (event) => window.violations.push(event.blockedURI));
  });
  try {
    if (clock) await page.clock.install();
    await page.goto(url);
    await idle(page);
    seen[name] = { seen: await work(page), violations: await page.evaluate(() => window.violations), thrown };
  } catch (error) {
    seen[name] = { failed: String(error), thrown };
  }
  await context.close();
}

// The page has answered the request with this number, or a later one.
async function idle(page, least = 1) {
  await page.waitForFunction((n) => Number(document.body.dataset.done ?? 0) >= n, least);
}

async function after(page, action) {
  const before = await page.evaluate(() => Number(document.body.dataset.done));
  await action();
  await idle(page, before + 1);
  return shown(page);
}

function shown(page) {
  return page.evaluate(() => {
    const text = (id) => document.getElementById(id).textContent;
    const error = document.getElementById("error");
    return {
      top: text("top"),
      score: text("score"),
      accepted: text("accepted"),
      time: text("time"),
      verdict: text("verdict"),
      caption: text("caption"),
      error: error.hidden ? null : error.textContent,
      classes: [...document.querySelectorAll("#classes li")].map((row) => [row.children[0].textContent, row.children[2].textContent]),
      bars: [...document.querySelectorAll("#classes .track span")].map((bar) => parseFloat(bar.style.width)),
      checked: [...document.querySelectorAll("input:checked")].map((input) => input.value),
    };
  });
}

// Hands a file over by the events of a drag from outside of the browser.
function drop(page, { name, type, base64 }) {
  return page.evaluate(
    ({ name, type, base64 }) => {
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], name, { type }));
      for (const kind of ["dragover", "drop"]) {
        const event = new DragEvent(kind, { dataTransfer, bubbles: true, cancelable: true });
        document.getElementById("drop").dispatchEvent(event);
        if (!event.defaultPrevented) throw new Error(`the browser would have opened the file on ${kind}`);
      }
    },
    { name, type, base64 },
  );
}

const choose = (page, { name, type, base64 }) =>
  page.setInputFiles("#file", { name, mimeType: type, buffer: Buffer.from(base64, "base64") });

// Many images through the modules that the page itself uses.
for (const engine of order.engines) {
  await scenario(`classify ${engine}`, order.good, (page) =>
    page.evaluate(
      async ({ engine, variants, images }) => {
        const { Classifier, readBundle } = await import("/page/classifier.js");
        const bundle = await readBundle();
        const answers = {};
        for (const variant of variants) {
          const classifier = await Classifier.open(bundle, variant, engine);
          answers[variant] = { images: [], golden: [] };
          for (const base64 of images) {
            const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
            const file = new File([bytes], "image.png", { type: "image/png" });
            answers[variant].images.push(Array.from(await classifier.classifyFile(file)));
          }
          for (const image of bundle.golden) {
            const { probabilities, passed } = await classifier.compare(image);
            answers[variant].golden.push({ file: image.file, probabilities: Array.from(probabilities), passed });
          }
          classifier.close();
        }
        return answers;
      },
      { engine, variants: order.variants, images: order.images },
    ),
  );
}

await scenario("pixels", order.good, (page) =>
  page.evaluate(
    async ({ files, size }) => {
      const { decode, toModelSize } = await import("/page/pixels.js");
      const found = {};
      for (const { name, type, base64 } of files) {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
        const image = await decode(new File([bytes], name, { type }));
        found[name] = { width: image.width, height: image.height };
        for (const how of ["training", "browser"]) {
          found[name][how] = Array.from((await toModelSize(image, size, how)).data);
        }
      }
      return found;
    },
    { files: order.photographs, size: order.size },
  ),
);

await scenario("use", order.good, async (page) => {
  const [photograph] = order.photographs;
  const steps = { start: await shown(page) };
  steps.chosen = await after(page, () => choose(page, photograph));
  steps.golden = await after(page, () => page.click("#golden li:nth-child(2) button"));
  steps.dropped = await after(page, () => drop(page, photograph));
  steps.variant = await after(page, () => page.locator("input[name=variant]").first().press("ArrowRight"));
  steps.engine = await after(page, () => page.locator("label", { hasText: "MediaPipe" }).click());
  steps.back = await after(page, () => page.locator("label", { hasText: "LiteRT.js" }).click());
  steps.resize = await after(page, () => page.locator("label", { hasText: "by the browser" }).click());
  steps.no_image = await after(page, () => choose(page, { name: "notes.txt", type: "text/plain", base64: "bm90ZXM=" }));
  steps.again = await after(page, () => choose(page, photograph));
  return steps;
});

await scenario("damaged", order.damaged, async (page) => {
  const steps = { altered: await shown(page) };
  const variant = (name) => page.locator(`label:has(input[value=${name}])`).click();
  steps.refused = await after(page, () => variant("float16"));
  steps.refused_by_mediapipe = await after(page, () => page.locator("label", { hasText: "MediaPipe" }).click());
  steps.whole = await after(page, () => variant("int8"));
  return steps;
});

// MediaPipe reports its use once a minute: a minute is let pass, by the page's clock.
await scenario("private", order.good, async (page) => {
  const answers = [];
  for (const url of [order.good, order.damaged]) {
    const ask = (url) => fetch(url, { mode: "no-cors" }).then(() => "answered", () => "blocked");
    answers.push(await page.evaluate(ask, url));
  }
  await page.evaluate(() => window.violations.splice(0));
  await after(page, () => page.locator("label", { hasText: "MediaPipe" }).click());
  await page.clock.fastForward("02:00");
  await page.waitForFunction(() => window.violations.length > 0);
  const still = await after(page, () => page.click("#golden li:nth-child(2) button"));
  return { answers, still };
}, { clock: true });

for (const colorScheme of ["light", "dark"]) {
  const phone = { viewport: { width: 360, height: 740 }, colorScheme, reducedMotion: "reduce" };
  await scenario(`phone ${colorScheme}`, order.good, async (page) => {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run());
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    return { overflow, background, axe: violations.map(({ id, nodes }) => [id, ...nodes.map((node) => node.html)]) };
  }, phone);
}

await browser.close();
console.log(JSON.stringify({ scenarios: seen, requests }));

// `npm test`: in headless Chromium, the golden images get the answers that were measured, in every variant, and the
// page classifies frames of a camera: the test picture of Chromium, or the film in CAMERA (.y4m or .mjpeg).

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { serve } from "./serve.mjs";

const flags = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
if (process.env.CAMERA) flags.push(`--use-file-for-fake-video-capture=${process.env.CAMERA}`);
if (process.getuid?.() === 0) flags.push("--no-sandbox");
const executablePath = process.env.CHROMIUM ?? onPath("chromium");

let server, browser, page;
before(async () => {
  server = await serve(0);
  browser = await chromium.launch({ executablePath, args: flags });
  page = await browser.newPage();
  await page.goto(`http://localhost:${server.address().port}/`);
  await page.waitForFunction(() => document.getElementById("answer").textContent !== "loading …");
});
after(async () => {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
});

test("answers are those that were measured", async () => {
  const answers = await page.evaluate(async () => {
    const { Classifier, variants } = await import("./classifier.js");
    const found = {};
    for (const variant of await variants()) {
      const classifier = await Classifier.open(variant);
      found[variant] = await classifier.golden();
      classifier.close();
    }
    return found;
  });
  for (const [variant, images] of Object.entries(answers)) {
    assert.ok(images.length > 0);
    for (const { file, difference, passed } of images) assert.ok(passed, `${variant}, ${file}: differs by ${difference}`);
    console.log(`${variant}: ${images.length} golden images as measured`);
  }
});

test("the page classifies frames of the camera", async () => {
  await page.click("#camera");
  await page.waitForFunction(() => Number(document.getElementById("answer").dataset.frames) >= 3, null, { polling: 100 });
  const answer = await page.textContent("#answer");
  assert.match(answer, /^(unsure: )?.+ [01]\.\d{3}$/);
  console.log(`camera: ${answer}`);
});

function onPath(name) {
  const found = process.env.PATH.split(delimiter).map((folder) => join(folder, name)).find(existsSync);
  if (!found) throw new Error(`${name} is not on PATH: name the file of a Chromium or Chrome in the variable CHROMIUM`);
  return found;
}

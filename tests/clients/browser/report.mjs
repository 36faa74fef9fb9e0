// Looks at reports for tests/pipeline/report/test_pages.py. Reads one JSON object from standard input: `modules`,
// `chromium`, `flags`, `pages` ({ name: file }), and `pictures`, a folder for screenshots or null. Writes
// { name: { width: { overflow, axe, reached, regions, images, requests, violations } } } as JSON.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const order = JSON.parse(readFileSync(0, "utf8"));
const require = createRequire(pathToFileURL(`${order.modules}/`));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const WAIT = 120_000;

const browser = await chromium.launch({ executablePath: order.chromium, args: order.flags, timeout: WAIT });
const seen = {};
for (const [name, file] of Object.entries(order.pages)) {
  seen[name] = {};
  for (const width of [1280, 375]) {
    const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme: width < 500 ? "dark" : "light" });
    context.setDefaultTimeout(WAIT);
    const page = await context.newPage();
    const requests = [];
    page.on("request", (request) => requests.push(request.url()));
    await page.addInitScript(() => {
      window.violations = [];
      addEventListener("securitypolicyviolation", (event) => window.violations.push(event.blockedURI));
    });
    await page.goto(pathToFileURL(file).href);
    await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
    const violations = await page.evaluate(() => window.violations);
    const images = await page.evaluate(async () => {
      const all = [...document.images];
      for (const image of all) image.loading = "eager";
      await Promise.all(all.map((image) => image.decode().catch(() => null)));
      return { all: all.length, shown: all.filter((image) => image.naturalWidth > 0).length };
    });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (order.pictures) await page.screenshot({ path: `${order.pictures}/${name}-${width}.png`, fullPage: true });
    // A region that scrolls is moved by the keyboard only if it gets the focus.
    const regions = await page.evaluate(() =>
      [...document.querySelectorAll("*")]
        .filter((one) => one.scrollWidth > one.clientWidth + 1 && ["auto", "scroll"].includes(getComputedStyle(one).overflowX))
        .map((one) => ({ name: one.getAttribute("aria-label"), focusable: one.tabIndex === 0 })),
    );
    const reached = [];
    for (let presses = 0; presses < 3; presses++) {
      await page.keyboard.press("Tab");
      reached.push(await page.evaluate(() => document.activeElement.textContent.trim()));
    }
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run());
    const described = found.violations.map(({ id, impact, nodes }) => [id, impact, ...nodes.slice(0, 3).map((node) => node.html)]);
    seen[name][width] = { overflow, axe: described, reached, regions, images, requests, violations };
    await context.close();
  }
}
await browser.close();
console.log(JSON.stringify(seen));

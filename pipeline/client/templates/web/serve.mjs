// Serves this folder on this machine: `node serve.mjs [PORT]`. On the web, any server of static files will do.

import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL(".", import.meta.url));
const TYPES = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".mjs": "text/javascript",
  ".png": "image/png",
  ".wasm": "application/wasm",
};

/** Starts the server: resolves with it when it listens. */
export function serve(port) {
  const server = createServer((request, response) => {
    let file;
    try {
      file = join(ROOT, decodeURIComponent(new URL(request.url, "http://localhost").pathname));
      if (file.endsWith(sep)) file = join(file, "index.html");
      if (!file.startsWith(ROOT) || !statSync(file).isFile()) throw new Error("not a file of this folder");
    } catch {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  return new Promise((done) => server.listen(port, "127.0.0.1", () => done(server)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const server = await serve(Number(process.argv[2] ?? 8000));
  console.log(`open http://localhost:${server.address().port}/ and stop with Ctrl-C`);
}

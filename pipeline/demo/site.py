"""Serve the demo until the user interrupts it."""

from __future__ import annotations

from pathlib import Path

from edgetune.modules.bundle.files import refuse_parent
from edgetune.modules.bundle.signing import Trust
from edgetune.pipeline.demo.bundle import bundle_files
from edgetune.pipeline.demo.npm import installed
from edgetune.pipeline.demo.server import DemoServer

HERE = Path(__file__).parent
PAGE_FILES = (".css", ".html", ".js", ".svg")
# Of @litertjs/core, the single-threaded build and the one for browsers without relaxed SIMD.
_ENGINES = {
    "litert": ("@litertjs/core/dist", ("index.js",)),
    "litert/wasm": ("@litertjs/core/wasm", ("litert_wasm_internal.*", "litert_wasm_compat_internal.*")),
    "wasm-utils": ("@litertjs/wasm-utils/dist", ("index.js",)),
    "vision": ("@mediapipe/tasks-vision", ("vision_bundle.mjs",)),
    "vision/wasm": ("@mediapipe/tasks-vision/wasm", ("*.js", "*.wasm")),
}


def served_files(bundle: Path, modules: Path) -> dict[str, Path]:
    """Return all files that the browser may request, by the path of their URL.

    Args:
        bundle: An edge bundle.
        modules: Folder `node_modules` with the engines.

    Raises:
        BundleError: `bundle` is not a complete bundle.
    """
    page = HERE / "page"
    files = {"/": page / "index.html", "/engines/package.json": HERE / "package.json"}
    files |= {f"/page/{path.name}": path for path in page.iterdir() if path.suffix in PAGE_FILES}
    files |= {f"/bundle/{name}": path for name, path in bundle_files(bundle).items()}
    for url_path, (folder, patterns) in _ENGINES.items():
        found = [path for pattern in patterns for path in (modules / folder).glob(pattern)]
        files |= {f"/engines/{url_path}/{path.name}": path for path in found}
    return files


def make_server(bundle: Path, host: str, port: int) -> DemoServer:
    """Return a server that listens; call its `serve_forever` to answer requests.

    Args:
        bundle: An edge bundle.
        host: Name or address to listen on.
        port: Port; 0 for any free port.

    Raises:
        ConfigError: The engines cannot be installed, or the port is not available.
        BundleError: `bundle` is not a complete bundle.
    """
    bundle_files(bundle)  # before anything is installed
    return DemoServer(served_files(bundle, installed(HERE)), host, port)


def serve(bundle: Path, host: str, port: int, trust: Trust) -> None:
    """Serve the page until Ctrl-C, if the signature of the bundle is as `trust` says.

    Raises the errors of `make_server` and of `Trust.require`.
    """
    refuse_parent(bundle, "edgetune demo")
    trust.require(bundle)
    with make_server(bundle, host, port) as server:
        print(f"edgetune demo of {bundle}\n  open {server.url}\n  stop with Ctrl-C", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("\nstopped")

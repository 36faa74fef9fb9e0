"""A server of a fixed list of files, for one browser on this machine."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import socket
import socketserver
import sys
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from edgetune.modules.core.errors import ConfigError

# Not from the system's table, which may lack wasm or call JavaScript what a browser then refuses.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
_INLINE = re.compile(rb'<script type="importmap">(.*?)</script>', re.DOTALL)


def security_headers(page: bytes) -> dict[str, str]:
    """Headers by which the browser holds the page to this server alone.

    Args:
        page: The HTML. Its import map is the one inline script that may be in it, and is allowed by its hash.
    """
    inline = [f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'" for text in _INLINE.findall(page)]
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", "'wasm-unsafe-eval'", *inline]),
        "style-src": "'self'",
        "img-src": "'self' blob:",
        # MediaPipe wants to report its use to its maker: this is what stops it.
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        # An isolated page has a clock of 5 µs instead of 100 µs.
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


class DemoServer(ThreadingHTTPServer):
    """Serves `files`, and nothing else: a request is looked up in the list, and no path is ever put together from it.

    Args:
        files: Files by path of the URL, such as `/page/app.js`; `/` is the page.
        host: Name or address to listen at.
        port: Port, 0 to 65535; 0 for any that is free.

    Raises:
        ConfigError: The port is taken or may not be used, or the host is none of this machine's.
    """

    daemon_threads = True

    def __init__(self, files: Mapping[str, Path], host: str, port: int) -> None:
        self.files = dict(files)
        self.headers = security_headers(self.files["/"].read_bytes())
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self.address_family = family
            super().__init__(address[:2], _Handler)  # type: ignore[arg-type]
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ConfigError(
                f"{host}:{port} cannot be listened at: {why}", "choose another with --port; 0 takes any that is free"
            ) from None

    @property
    def url(self) -> str:
        """Where the page is, for a browser on this machine."""
        host, port = self.server_address[:2]
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(host), str(host))
        return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"

    def server_bind(self) -> None:
        """Binds, without the look-up of the machine's name that HTTPServer does: it can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = (str(self.server_address[0]), int(self.server_address[1]))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a browser that goes away in the middle of an answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    server: DemoServer

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        path = self.server.files.get(unquote(urlsplit(self.path).path))
        try:
            file = path.open("rb") if path else None
        except OSError:  # it was there when the server started
            file = None
        if path is None or file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", _TYPES.get(path.suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(path.stat().st_size))
            self.end_headers()
            if body:
                shutil.copyfileobj(file, self.wfile)

    def end_headers(self) -> None:
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def version_string(self) -> str:
        return "edgetune"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Nobody reads a line per file."""

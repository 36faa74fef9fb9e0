"""Serve a fixed list of files to a browser on this machine."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import shutil
import socket
import socketserver
import sys
import threading
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from edgetune.modules.core.errors import ConfigError

# The system's table may lack wasm, or give JavaScript a type that browsers reject.
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
# A browser opens six at a time. Idle ones are closed soon, so that they do not keep others out.
_CONNECTIONS, _IDLE_SECONDS = 64, 10
_INLINE = re.compile(rb'<script type="importmap">(.*?)</script>', re.DOTALL)


def security_headers(page: bytes) -> dict[str, str]:
    """Return headers that restrict the page to this server.

    Args:
        page: The HTML. Its import map is the only inline script, and is allowed by its hash.
    """
    inline = [f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'" for text in _INLINE.findall(page)]
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", "'wasm-unsafe-eval'", *inline]),
        "style-src": "'self'",
        "img-src": "'self' blob:",
        # Blocks the usage reports that MediaPipe tries to send.
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        # A cross-origin isolated page has a clock resolution of 5 µs instead of 100 µs.
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


class DemoServer(ThreadingHTTPServer):
    """Serves only the given files: requests are looked up in the list, and never used to build a path.

    Args:
        files: Files by path of the URL, such as `/page/app.js`; `/` is the page.
        host: Name or address to listen on.
        port: Port, 0 to 65535; 0 for any free port.

    Raises:
        ConfigError: The port is taken or not permitted, or the host is not an address of this machine.
    """

    daemon_threads = True

    def __init__(self, files: Mapping[str, Path], host: str, port: int) -> None:
        self.files = dict(files)
        self._names = {"localhost", host.lower().rstrip("."), socket.gethostname().lower()}
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        self.headers = security_headers(self.files["/"].read_bytes())
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
            self.address_family = family
            super().__init__(address[:2], _Handler)  # type: ignore[arg-type]
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ConfigError(
                f"cannot listen on {host}:{port}: {why}", "choose another port with --port; 0 takes any free port"
            ) from None

    @property
    def url(self) -> str:
        """URL of the page for a browser on this machine."""
        host, port = self.server_address[:2]
        name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(host), str(host))
        return f"http://[{name}]:{port}/" if ":" in name else f"http://{name}:{port}/"

    def server_bind(self) -> None:
        """Bind without HTTPServer's lookup of the machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = (str(self.server_address[0]), int(self.server_address[1]))

    def is_own(self, host: str | None) -> bool:
        """Return whether the `Host` of a request is a name of this server, or an address.

        A page of another site can have its own name resolved to this machine (DNS rebinding); then the browser would
        let it read the answers. Such a request has the name of that site.
        """
        name = (urlsplit(f"//{host}").hostname or "") if host else ""
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.rstrip(".") in self._names
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread; close the connection if all threads are taken."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer the requests of a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore browsers that disconnect during a response."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server: DemoServer

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        try:
            known = self.server.is_own(self.headers.get("Host"))
        except ValueError:  # not a host at all
            known = False
        if not known:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        path = self.server.files.get(unquote(urlsplit(self.path).path))
        try:
            file = path.open("rb") if path else None
        except OSError:  # removed after the server started
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
        """Do not log requests."""

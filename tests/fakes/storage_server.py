"""Serve the fake Google Cloud Storage of `tests.fakes.cloud_storage` over HTTPS on loopback, for TensorFlow and Beam.

TensorFlow connects only to Google's own hosts, but through a proxy, and trusts the authorities that the environment
names. So this is a proxy that answers requests itself. Google's client for Python, which Beam uses, accepts it in the
same way.

    with serving({"bucket"}, folder) as storage:
        subprocess.run(command, env={**os.environ, **storage.environment()})
        storage.names("bucket")

It runs in a separate process: TensorFlow's client can block all of Python in its process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.managers import BaseManager
from pathlib import Path

from tests.conftest import ROOT
from tests.fakes.cloud_storage import API, FILES, SIGN_IN, CloudStorage, request_of
from tests.helpers import certificates

_SOCKET, _KEY = "socket", b"tests"


class Served(CloudStorage):
    """Buckets that are served; `folder` is for keys."""

    def __init__(self, buckets: set[str], folder: Path) -> None:
        super().__init__(buckets)
        self._environment = _serve(self, folder)

    def environment(self) -> dict[str, str]:
        """Return the environment variables with which a process uses this server and signs in."""
        return self._environment


class _Manager(BaseManager):
    """Connection between the two processes."""


@contextmanager
def serving(buckets: set[str], folder: Path) -> Iterator[Served]:
    """Yield the storage, whose methods can be called; `folder` is for keys and a socket."""
    command = [sys.executable, "-c", "from tests.fakes.storage_server import main; main()", str(folder), *buckets]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        _Manager.register("storage")
        manager = _Manager(str(folder / _SOCKET), authkey=_KEY)
        manager.connect()
        try:
            yield manager.storage()  # type: ignore[attr-defined]
        finally:
            process.stdin.close()


def main() -> None:
    """Serve until standard input ends, with the tests at the latest."""
    folder, buckets = Path(sys.argv[1]), set(sys.argv[2:])
    storage = Served(buckets, folder)
    _Manager.register("storage", lambda: storage)
    server = _Manager(str(folder / _SOCKET), authkey=_KEY).get_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


def _serve(storage: CloudStorage, folder: Path) -> dict[str, str]:
    """Listen in threads, and return the environment variables for clients."""
    certificate = certificates.self_signed(folder, (API, FILES, SIGN_IN))
    tls = certificates.server_context(certificate)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            if self.path.partition(":")[0] not in (API, FILES, SIGN_IN):
                self.send_error(403)  # requests of libraries to other hosts
                return
            self.send_response(200)
            self.end_headers()
            self.connection = tls.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
            self.close_connection = False

        def handle_expect_100(self) -> bool:
            going_on = super().handle_expect_100()
            self.wfile.flush()  # the client waits for this before it sends more
            return going_on

        def handle_any(self) -> None:
            body = b"".join(self.parts())
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = storage.answer(request_of(self.command, self.path, headers["host"], headers, body))
            self.send_response(answer.status)
            for name, value in ({"Content-Type": "application/json"} | answer.headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def parts(self) -> Iterator[bytes]:
            """Yield the body, which has a known length or comes in chunks."""
            if self.headers.get("transfer-encoding") != "chunked":
                yield self.rfile.read(int(self.headers.get("content-length") or 0))
                return
            while length := int(self.rfile.readline(), 16):
                yield self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    account = folder / "account.json"
    account.write_text(json.dumps(certificates.service_account(f"https://{SIGN_IN}/token")))
    trusted = dict.fromkeys(("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"), str(certificate))
    proxy = f"http://127.0.0.1:{server.server_address[1]}"
    return {**trusted, "HTTPS_PROXY": proxy, "GOOGLE_APPLICATION_CREDENTIALS": str(account)}

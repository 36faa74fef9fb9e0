"""Google Cloud Storage on loopback, where TensorFlow and Beam look for it: `tests.fakes.cloud_storage` behind HTTPS.

TensorFlow speaks to Google's own hosts and to nothing else, but through a proxy, and it trusts the authorities that
the environment names. So this is a proxy which answers by itself; Google's client for Python, which Beam uses, takes
it in the same way.

    with serving({"bucket"}, folder) as storage:
        subprocess.run(command, env={**os.environ, **storage.environment()})
        storage.names("bucket")

It is a process of its own: TensorFlow's client can block all of Python in the process that it runs in.
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
    """Buckets that can be reached; `folder` is for keys."""

    def __init__(self, buckets: set[str], folder: Path) -> None:
        super().__init__(buckets)
        self._environment = _serve(self, folder)

    def environment(self) -> dict[str, str]:
        """The environment variables with which a process comes here, and signs in."""
        return self._environment


class _Manager(BaseManager):
    """How the two processes talk."""


@contextmanager
def serving(buckets: set[str], folder: Path) -> Iterator[Served]:
    """The storage, of which the methods can be used; `folder` is for keys and a socket."""
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
    """The process: it serves until its standard input ends, with the tests or before."""
    folder, buckets = Path(sys.argv[1]), set(sys.argv[2:])
    storage = Served(buckets, folder)
    _Manager.register("storage", lambda: storage)
    server = _Manager(str(folder / _SOCKET), authkey=_KEY).get_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()


def _serve(storage: CloudStorage, folder: Path) -> dict[str, str]:
    """Listens in threads, and returns the environment variables of those who come."""
    certificate = certificates.self_signed(folder, (API, FILES, SIGN_IN))
    tls = certificates.server_context(certificate)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_CONNECT(self) -> None:
            if self.path.partition(":")[0] not in (API, FILES, SIGN_IN):
                self.send_error(403)  # whatever else some library would like to know
                return
            self.send_response(200)
            self.end_headers()
            self.connection = tls.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
            self.close_connection = False

        def handle_expect_100(self) -> bool:
            going_on = super().handle_expect_100()
            self.wfile.flush()  # the client sends no more before it has read this
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
            """The body: of known length, or in chunks that each tell theirs."""
            if self.headers.get("transfer-encoding") != "chunked":
                yield self.rfile.read(int(self.headers.get("content-length") or 0))
                return
            while length := int(self.rfile.readline(), 16):
                yield self.rfile.read(length)
                self.rfile.readline()
            self.rfile.readline()

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = handle_any

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    account = folder / "account.json"
    account.write_text(json.dumps(certificates.service_account(f"https://{SIGN_IN}/token")))
    trusted = dict.fromkeys(("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"), str(certificate))
    proxy = f"http://127.0.0.1:{server.server_address[1]}"
    return {**trusted, "HTTPS_PROXY": proxy, "GOOGLE_APPLICATION_CREDENTIALS": str(account)}

"""A PostgreSQL server for the tests, on this machine and in a folder that is removed when it ends."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

USER, DATABASE = "edgetune", "records"


@dataclass(frozen=True)
class Server:
    """Address and credentials of the server."""

    port: int
    password: str

    def url(self, password: str = "", database: str = DATABASE) -> str:
        """For `state.metadata`."""
        secret = f":{password}" if password else ""
        return f"postgresql://{USER}{secret}@127.0.0.1:{self.port}/{database}"


def binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs, or None if it is not installed."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    places += [Path(found).resolve().parent] if found else []
    return next((place for place in places if (place / "postgres").exists() and (place / "createdb").exists()), None)


@contextlib.contextmanager
def running(programs: Path) -> Iterator[Server]:
    """Start the server and create the database. It refuses to run as root, so root starts it as another user."""
    owner = next((user for user in _unprivileged() if user is not None), None)
    account = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    # Not below pytest's folder, which other users cannot access.
    folder = Path(tempfile.mkdtemp(prefix="edgetune-postgres-"))
    server = Server(_free_port(), secrets.token_urlsafe(12))
    (folder / "password").write_text(server.password)
    if owner:
        for path in (folder, folder / "password"):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    data = str(folder / "data")
    made = [programs / "initdb", "-D", data, "-U", USER, "-A", "scram-sha-256", "--no-sync"]
    subprocess.run([*made, f"--pwfile={folder}/password"], check=True, capture_output=True, cwd=folder, **account)
    address = ["-h", "127.0.0.1", "-p", str(server.port)]
    command = [programs / "postgres", "-D", data, *address, "-k", str(folder), "-F"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **account)
    try:
        _create_database([programs / "createdb", *address, "-U", USER, DATABASE], server, folder / "log")
        yield server
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def _create_database(command: list[str | Path], server: Server, log: Path) -> None:
    environment = {**os.environ, "PGPASSWORD": server.password}
    for _ in range(100):
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        if done.returncode == 0:
            return
        time.sleep(0.1)
    raise RuntimeError(f"no database: {done.stderr.decode()}{log.read_text()}")


def _unprivileged() -> Iterator[pwd.struct_passwd | None]:
    """Yield the user that runs the server if this process is root, or None."""
    if os.geteuid() == 0:
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                yield pwd.getpwnam(name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

"""`make audit` against a stand-in for OSV, and the lists of components of `make sbom`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from scripts import audit, sbom

LOCK = """\
pyarrow==10.0.1 \\
    --hash=sha256:00
pillow==9.0.0 ; python_version < "3.11" \\
    --hash=sha256:00
Requests[socks]==2.34.2
"""
PYARROW = {"id": "GHSA-1", "aliases": ["CVE-2023-47248"], "summary": "runs code"}
PILLOW = {
    "id": "GHSA-2",
    "summary": "overflow\x1b[2J in libwebp",
    "affected": [{"ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "10.0.1"}]}]}],
}
WITHDRAWN = {"id": "GHSA-3", "withdrawn": "2026-01-01T00:00:00Z"}


@pytest.fixture
def osv(monkeypatch) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Serve these records by package, one a page, as OSV does."""
    records: dict[str, list[dict[str, Any]]] = {"pyarrow": [PYARROW]}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            results = []
            for query in queries:
                page, found = int(query.get("page_token", 0)), records.get(query["package"]["name"], [])
                result: dict[str, Any] = {"vulns": [{"id": one["id"]} for one in found[page : page + 1]]}
                results.append(result | ({"next_page_token": str(page + 1)} if len(found) > page + 1 else {}))
            self._answer({"results": results})

        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            self._answer(next(one for found in records.values() for one in found if one["id"] == name))

        def _answer(self, answer: Any) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("EDGETUNE_OSV_URL", f"http://127.0.0.1:{server.server_port}")
        yield records
        server.shutdown()


@pytest.fixture
def lock(tmp_path) -> str:
    (tmp_path / "lock.txt").write_text(LOCK)
    return str(tmp_path / "lock.txt")


def test_pins_are_those_of_every_platform():
    assert audit.pins(LOCK) == {("pyarrow", "10.0.1"), ("pillow", "9.0.0"), ("requests", "2.34.2")}


def test_accepted_and_withdrawn_vulnerabilities_pass(osv, lock, capsys):
    osv["requests"] = [WITHDRAWN]
    assert audit.main([lock]) == 0
    assert capsys.readouterr().out == "3 packages: 0 vulnerabilities, and 1 accepted\n"


def test_another_vulnerability_fails_with_package_and_fix_on_any_page(osv, lock, capsys):
    osv["pillow"] = [WITHDRAWN, PILLOW]
    assert audit.main([lock]) == 1
    assert "pillow 9.0.0 (lock.txt): GHSA-2: overflow\\x1b[2J in libwebp; fixed in 10.0.1\n" in capsys.readouterr().out


def test_an_accepted_vulnerability_of_another_package_is_none(osv, lock, capsys):
    osv["requests"] = [{**PYARROW, "id": "GHSA-4"}]
    assert audit.main([lock]) == 1
    assert "requests 2.34.2 (lock.txt): GHSA-4: runs code; fixed in no version\n" in capsys.readouterr().out


def test_an_entry_without_its_vulnerability_fails(osv, lock, capsys):
    osv.clear()
    assert audit.main([lock]) == 1
    assert "accepted.toml: pyarrow has no CVE-2023-47248 any more: remove the entry" in capsys.readouterr().out


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b'{"results": []}'])
def test_without_an_answer_nothing_is_said_to_be_safe(lock, monkeypatch, capsys, answer):
    monkeypatch.setenv("EDGETUNE_OSV_URL", "http://127.0.0.1:1")
    assert audit.main([lock]) == 2

    class Response:
        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: Any) -> None:
            pass

        def read(self, *_: Any) -> bytes:
            return answer

    monkeypatch.setattr(audit.urllib.request, "urlopen", lambda *_, **__: Response())
    assert audit.main([lock]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all("so NOTHING is known about 3 packages" in line for line in lines)


def test_both_locks_are_audited_and_every_exception_has_a_reason(root):
    for name in audit.LOCKS:
        assert audit.pins((root / "requirements" / name).read_text())
    assert {"pyarrow", "tensorflow", "pillow"} <= {
        name for name, _ in audit.pins((root / "requirements/tfx121.txt").read_text())
    }
    for entry in audit.tomllib.loads(audit.ACCEPTED.read_text())["accepted"]:
        assert set(entry) == {"id", "package", "reason"} and len(entry["reason"]) > 40


def test_components_of_a_bundle_are_its_files_its_models_and_what_made_it(root):
    folder = root / "tests" / "frozen" / "0.1.0" / "bundle"
    parts = {part.name: part for part in sbom.bundle(folder)}
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert {name: part.sha256 for name, part in parts.items() if name in sums} == sums
    models = {name for name, part in parts.items() if part.kind == "machine-learning-model"}
    assert models == {path.name for path in folder.glob("*.tflite")} != set()
    assert parts["tensorflow"].kind == "library" and parts["tensorflow"].version


def test_components_of_an_environment_are_its_distributions():
    import sys
    from importlib.metadata import version

    parts = sbom.environment(sys.executable)
    assert sbom.Part("numpy", version("numpy")) in parts and len(parts) == len(set(parts)) > 50

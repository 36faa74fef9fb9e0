"""Class names that differ only by capitals, blanks or the way in which Unicode writes an accent."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from edgetune.modules.core.untrusted_text import printable
from edgetune.modules.data.findings import Finding


def similar_classes(names: Iterable[str]) -> list[Finding]:
    """Report classes whose names most likely mean one.

    Names are compared without case and blanks and in Unicode's normalization form KC (UAX #15), so that the `é` of
    macOS, two characters, is that of other systems.

    Args:
        names: All class names.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        alike["".join(unicodedata.normalize("NFKC", name).casefold().split())].append(name)
    return [
        Finding(
            "similar_classes",
            f"the classes {' and '.join(_shown(name) for name in group)} have names that differ only by capitals, "
            "blanks or the encoding of an accent",
            "if they are one, give them one name; if not, more different ones",
            subject=group[0],
        )
        for group in alike.values()
        if len(group) > 1
    ]


def _shown(name: str) -> str:
    """Return a name in which each difference can be seen."""
    shown = name if name.isascii() else name.encode("unicode_escape").decode()
    return f"'{printable(shown)}'"

"""Which configuration a model was made with, as one digest; also where some of it was changed for one run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from edgetune.modules.core.package_paths import portable
from edgetune.modules.settings.run import RunSettings

_WHERE = {"platform", "state"}


def tree_of(settings: RunSettings) -> dict[str, Any]:
    """All settings, defaults included, but those that only say where a run takes place and keeps what it makes.

    Weights that come with the code are named as they are on every machine.
    """
    tree = settings.model_dump(mode="json", exclude=_WHERE)
    tree["model"]["weights"] = portable(settings.model.weights)
    return tree


def digest(tree: Mapping[str, Any]) -> str:
    """SHA-256 of what `tree_of` returns, as 64 hexadecimal digits."""
    canonical = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def changed(tree: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a tree, with other values for some settings by their dotted names."""
    copy: dict[str, Any] = json.loads(json.dumps(tree))
    for setting, value in values.items():
        *groups, name = setting.split(".")
        at = copy
        for group in groups:
            at = at[group]
        at[name] = value
    return copy

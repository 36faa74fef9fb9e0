"""What was checked of the data, as the gates of the models are shown."""

from __future__ import annotations

from typing import Any

from edgetune.modules.core.wording import counted
from edgetune.modules.evaluation.gates import Gate
from edgetune.modules.settings.run import RunSettings

DATA = "data"
"""Subject of the checks, where gates have the name of a model."""


def checks(data: dict[str, Any] | None, findings: list[dict[str, Any]] | None, settings: RunSettings) -> list[Gate]:
    """Return the checks of the data that were made.

    Args:
        data: The section `data`; None if the data were not read.
        findings: The section `findings`; None if nothing looked for any.
        settings: Of the run.
    """
    found = []
    if data:
        files = data["files"] - data["not_images"]
        share = (data["rejected"] - data["left_out"]) / files if files else 0.0
        most = settings.data.max_rejected
        found.append(
            Gate("data.max_rejected", DATA, "files that cannot be used", most, share <= most, share, images=files,
                 at_most=True)
        )  # fmt: skip
        totals: dict[str, int] = {}
        for classes in data["splits"].values():
            for name, count in classes.items():
                totals[name] = totals.get(name, 0) + count
        if totals:
            name = min(totals, key=lambda name: (totals[name], name))
            least = settings.data.min_examples_per_class
            found.append(
                Gate("data.min_examples_per_class", DATA, "images of the smallest class", least, totals[name] >= least,
                     totals[name], images=sum(totals.values()), whole=True, reason=f"it is {name}")
            )  # fmt: skip
    if findings is not None:
        stops = [one for one in findings if not one["informs"] and not one["allowed"]]
        allowed = sum(one["allowed"] for one in findings)
        others = [counted(allowed, "more finding") + " allowed"] if allowed else []
        informing = len(findings) - len(stops) - allowed
        others += [counted(informing, "finding") + " for information"] if informing else []
        found.append(
            Gate("data.allow", DATA, "findings that stop a run", 0, not stops, len(stops), whole=True, at_most=True,
                 reason=", ".join(others))
        )  # fmt: skip
    return found

"""Findings about distributions: the data differ from those of the last blessed model, or from the schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgetune.modules.data.findings import Finding

_LOST = "statistics"


def drift(feature: str, measure: str, value: float, bound: float, key: str) -> Finding:
    """Report a feature whose distribution has changed.

    Args:
        feature: Name of the feature.
        measure: Distance measure.
        value: The distance.
        bound: Largest allowed distance.
        key: The setting with the bound.
    """
    cause = (
        f"the distribution of {feature} differs from the data of the last blessed model: "
        f"{measure} {value:.3f}, more than {key} {bound:g}"
    )
    return Finding("drift", cause, f"check what was added or removed; if it is intended, raise {key}", subject=feature)


def another_data_set(found: Sequence[Finding], now: str, before: str) -> list[Finding]:
    """Replace findings of drift by a single one if the data are in another place than before.

    Args:
        found: Findings of drift.
        now: Folder of these data; empty if it is unknown.
        before: Folder of the data of the last blessed model; empty if it is unknown.
    """
    lost = any(finding.subject == _LOST for finding in found)
    if not found or lost or not now or not before or now == before:
        return list(found)
    features = ", ".join(finding.subject for finding in found)
    return [
        Finding(
            "drift",
            f"the last blessed model is of the data in {before}, and these are in {now}: they differ in {features}",
            "if they are two data sets, give this one a name of its own, such as --set name=NAME: one name has one "
            "series of models; if they are one that was moved, check what was added or removed",
            subject="source",
        )
    ]


def no_baseline(uri: str, why: str) -> Finding:
    """Report that drift cannot be measured, because the statistics of all blessed models' data are gone.

    Args:
        uri: Where the latest of them were.
        why: Why they cannot be read.
    """
    return Finding(
        "drift",
        f"drift cannot be measured: the statistics of the last blessed model's data, {uri}, cannot be read: {why}",
        "restore that folder from a copy",
        subject=_LOST,
    )


def anomalies(split: str, described: Mapping[str, str]) -> list[Finding]:
    """Report the anomalies that ExampleValidator described for features of a split."""
    return [
        Finding(
            "anomaly",
            f"{feature or 'the examples'} in the split {split}: {description}",
            "the examples do not match schemas/examples.pbtxt; repair the data that they were read from",
            subject=feature,
        )
        for feature, description in sorted(described.items())
    ]

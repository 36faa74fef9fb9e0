"""What a finding about the data is, which of them stop a run, and how they are told."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgetune.modules.core.errors import DataError

_OF_COPIES = ("two_labels", "leakage", "duplicates")
"""Findings about the copies of one picture, or one group: each of their files says which. The files of all others
without a subject are a list, and one of them does not stand for all."""
MOST_FILES = 10
"""Files that a finding names."""


@dataclass(frozen=True)
class Picture:
    """An image that a finding is about, as the report shows it."""

    file: str
    """Relative to the data's folder."""
    jpeg: str = ""
    """A thumbnail: JPEG in Base64; empty if there is none."""
    given: str = ""
    """Class that it is labelled with."""
    looks_like: str = ""
    """Class that it looks like, if the finding is about labels."""
    score: float | None = None
    """By which the finding is ordered; its `cause` says what it is."""
    group: int = 0
    """Number of the group of images that look alike, from 1; 0 if it is of none."""


@dataclass(frozen=True)
class Finding:
    """One problem, which stops a run unless it only informs or is allowed."""

    name: str
    """Kind of finding, one of `modules.settings.data.FINDINGS`."""
    cause: str
    """One sentence."""
    remedy: str
    """One sentence."""
    files: tuple[str, ...] = field(default=())
    """Affected files, relative to the data's folder."""
    subject: str = ""
    """Affected class or feature."""
    informs: bool = False
    """Whether it only informs: it is in the report, and does not stop a run."""
    pictures: tuple[Picture, ...] = field(default=())
    """The first of the affected images, with thumbnails."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Finding:
        """Return the finding of which `values` are `dataclasses.asdict`, as JSON has them."""
        pictures = tuple(Picture(**picture) for picture in values["pictures"])
        return cls(**{**values, "files": tuple(values["files"]), "pictures": pictures})


class FindingsError(DataError):
    """The data has findings that are not allowed.

    Args:
        found: All such findings, at least one.
        allowed: `data.allow`, which `--allow` replaces.
        others: Findings of the same component that do not stop the run, for the report: TFX removes the outputs of a
            component that fails.
        beside: Words that follow the options, if `allowed` is only a part of `data.allow`.
    """

    exit_code = DataError.exit_code

    def __init__(
        self,
        found: Sequence[Finding],
        allowed: Iterable[str] = (),
        others: Sequence[Finding] = (),
        beside: str = "",
    ) -> None:
        remedy = found[0].remedy if len(found) == 1 else "see the remedy of each"
        them = "it" if len(found) == 1 else "all of them"
        super().__init__(_sentence(found), f"{remedy}; or tolerate {them} with {_options(found, allowed)}{beside}")
        self.found, self.others = tuple(found), tuple(others)


def is_allowed(finding: Finding, allowed: Iterable[str]) -> bool:
    """Return whether a finding is allowed.

    Args:
        finding: The finding.
        allowed: `data.allow`: names of findings, each alone or with a file, class or feature: `two_labels:cats/1.jpg`.
            A finding that lists files and has no subject is allowed by its name alone.
    """
    about = {finding.subject, *(() if _is_list(finding) else finding.files)} - {""}
    return any(
        name == finding.name and (not what or what in about)
        for name, _, what in (entry.partition(":") for entry in allowed)
    )


def refused(found: Iterable[Finding], allowed: Iterable[str]) -> list[Finding]:
    """Return the findings that stop a run.

    Args:
        found: All findings.
        allowed: `data.allow`.
    """
    names = list(allowed)
    return [finding for finding in found if not finding.informs and not is_allowed(finding, names)]


def permissions(found: Sequence[Finding], allowed: Iterable[str]) -> list[str]:
    """Return `data.allow` that allows all findings and what is allowed already: by kind if there are many."""
    narrow = [_narrowest(finding) for finding in found]
    names = narrow if len(narrow) <= MOST_FILES else [finding.name for finding in found]
    return list(dict.fromkeys([*allowed, *names]))


def _options(found: Sequence[Finding], allowed: Iterable[str]) -> str:
    return " ".join(f"--allow {shlex.quote(name)}" for name in permissions(found, allowed))


def _is_list(finding: Finding) -> bool:
    return not finding.subject and len(finding.files) > 1 and finding.name not in _OF_COPIES


def _narrowest(finding: Finding) -> str:
    what = "" if _is_list(finding) else finding.subject or next(iter(finding.files), "")
    return f"{finding.name}:{what}" if what else finding.name


def _sentence(found: Sequence[Finding]) -> str:
    if len(found) == 1:
        return found[0].cause
    named = "".join(f"\n    {finding.cause}; {finding.remedy}" for finding in found[:MOST_FILES])
    more = f"\n    and {len(found) - MOST_FILES} more, see the report" if len(found) > MOST_FILES else ""
    return f"the data has {len(found)} findings:{named}{more}"


class UnusableFiles(DataError):
    """The data cannot be trained on, and files were rejected.

    Args:
        cause: What is wrong.
        remedy: What to do about it.
        ingest: Content of `ingest.json`, for the report: TFX removes the outputs of a component that fails.
        rows: `path` and `reason` of the first rejected files, as in `rejected.csv`.
    """

    exit_code = DataError.exit_code

    def __init__(self, cause: str, remedy: str, ingest: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> None:
        super().__init__(cause, remedy)
        self.ingest, self.rows = dict(ingest), [dict(row) for row in rows]

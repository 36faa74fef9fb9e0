"""Write the findings of a component with thumbnails, and stop the run if one of them is not allowed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

from tfx import types

from edgetune.components.common.names import FINDINGS_FILE
from edgetune.modules.data.findings import Finding, FindingsError, Picture, is_allowed, refused
from edgetune.modules.examples.thumbnails import thumbnails
from edgetune.modules.storage import filesystem

MOST_THUMBNAILS = 200
"""Files whose thumbnails DatasetGate makes, a part of what the report shows."""


def with_thumbnails(found: Sequence[Finding], examples_uri: str) -> list[Finding]:
    """Return findings with thumbnails of their pictures, or of their files if they have none.

    Args:
        found: The findings; files that are not among the examples, such as features, have no picture.
        examples_uri: Artifact of raw examples, which is read once more if there is a finding.
    """
    listed = [
        replace(finding, pictures=finding.pictures or tuple(Picture(file) for file in finding.files))
        for finding in found
    ]
    wanted = set(list(dict.fromkeys(picture.file for one in listed for picture in one.pictures))[:MOST_THUMBNAILS])
    if not wanted:
        return listed
    made = thumbnails(examples_uri, lambda _, file: file in wanted).values()
    seen = {thumbnail.file: thumbnail for thumbnail in made}

    def shown(picture: Picture) -> Picture:
        known = seen.get(picture.file)
        return replace(picture, jpeg=known.jpeg, given=known.label) if known else picture

    return [replace(finding, pictures=tuple(map(shown, finding.pictures))) for finding in listed]


def write_findings(
    made: types.Artifact,
    found: Sequence[Finding],
    allowed: Sequence[str],
    allowed_by: str,
    notes: Sequence[Finding] = (),
    beside: str = "",
) -> None:
    """Write `findings.json` and record on the artifact who allowed what.

    Args:
        made: The component's artifact, of type `DatasetFindings`; its folder exists.
        found: All findings.
        allowed: `data.allow`, or what of it is about the component's findings.
        allowed_by: The user, if anything is allowed.
        notes: What is noted beside; it does not count as a finding.
        beside: As of `FindingsError`.

    Raises:
        FindingsError: A finding is neither allowed nor does it only inform; up to ten are named.
    """
    listed = [{**asdict(finding), "allowed": is_allowed(finding, allowed)} for finding in found]
    content = {"findings": listed, "notes": [asdict(note) for note in notes]}
    filesystem.write(f"{made.uri}/{FINDINGS_FILE}", (json.dumps(content, indent=2) + "\n").encode())
    if stops := refused(found, allowed):
        raise FindingsError(stops, allowed, [*(finding for finding in found if finding not in stops), *notes], beside)
    made.set_int_custom_property("findings", len(found))
    if found:
        made.set_string_custom_property("allowed", json.dumps(list(allowed)))
        made.set_string_custom_property("allowed_by", allowed_by)

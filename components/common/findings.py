"""Write the findings of a component, and stop the run if one of them is not allowed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from tfx import types

from edgetune.components.common.names import FINDINGS_FILE
from edgetune.modules.data.findings import Finding, FindingsError, is_allowed, refused
from edgetune.modules.storage import filesystem


def write_findings(made: types.Artifact, found: Sequence[Finding], allowed: Sequence[str], allowed_by: str) -> None:
    """Write `findings.json` and record on the artifact who allowed what.

    Args:
        made: The component's artifact, of type `DatasetFindings`; its folder exists.
        found: All findings.
        allowed: `data.allow`.
        allowed_by: The user, if anything is allowed.

    Raises:
        FindingsError: A finding is neither allowed nor does it only inform; up to ten are named.
    """
    listed = [{**asdict(finding), "allowed": is_allowed(finding, allowed)} for finding in found]
    filesystem.write(f"{made.uri}/{FINDINGS_FILE}", (json.dumps({"findings": listed}, indent=2) + "\n").encode())
    if stops := refused(found, allowed):
        raise FindingsError(stops, [finding for finding in found if finding not in stops])
    made.set_int_custom_property("findings", len(found))
    if found:
        made.set_string_custom_property("allowed", json.dumps(list(allowed)))
        made.set_string_custom_property("allowed_by", allowed_by)

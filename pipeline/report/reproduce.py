"""What it takes to make the same models again: commands, versions of libraries, and digests."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from edgetune.components.common.names import EDGE_EVALUATOR, EVALUATION_KEY, IMAGE_EXAMPLE_GEN, REPORT_KEY
from edgetune.modules.core.library_versions import KEY
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.config.load import config_digest
from edgetune.pipeline.metadata.outcome import Outcome
from edgetune.pipeline.report.artifacts import Absent, folder, read_json

CONFIGURATION = "run.yaml"
"""Name that the commands give to the configuration on the page."""


def reproduce(outcome: Outcome, settings: RunSettings, workdir: Path) -> dict[str, Any]:
    """Return commands, versions and digests.

    Args:
        outcome: The run.
        settings: Its configuration.
        workdir: Its folder.

    Returns:
        `commands`; `versions`, by library, with those that made its artifacts, which an upgrade between cached
        components may make several; `digests` of `{what, digest}`.
    """
    versions: dict[str, set[str]] = {}
    for node in outcome.nodes:
        for artifacts in node.outputs.values():
            for artifact in artifacts:
                for library, version in _versions(artifact.custom_properties.get(KEY)).items():
                    versions.setdefault(str(library), set()).add(str(version))
    return {
        "commands": [
            f"edgetune run --config {CONFIGURATION} --workdir {shlex.quote(str(workdir))}",
            f"edgetune runs --workdir {shlex.quote(str(workdir))}",
        ],
        "versions": {library: sorted(found) for library, found in sorted(versions.items())},
        "digests": [{"what": what, "digest": digest} for what, digest in _digests(outcome, settings) if digest],
    }


def _versions(record: Any) -> dict[str, Any]:
    try:
        found = json.loads(record)
    except (TypeError, ValueError):  # none was recorded
        return {}
    return {name: version for name, version in found.items() if version} if isinstance(found, dict) else {}


def _digests(outcome: Outcome, settings: RunSettings) -> list[tuple[str, str]]:
    found = [("configuration", config_digest(settings)), ("data: images, labels and splits", _data_digest(outcome))]
    try:
        metrics = read_json(f"{folder(outcome.node(EDGE_EVALUATOR), EVALUATION_KEY, 'metrics.json')}/metrics.json")
        model = metrics["saved_model"]
        found += [("test images", str(metrics["test"].get("sha256", "")))]
        found += [("weights", str(model.get("weights_sha256", ""))), ("SavedModel", str(model.get("sha256", "")))]
        found += [(f"{name}.tflite", str(facts.get("sha256", ""))) for name, facts in metrics["variants"].items()]
    except (Absent, OSError, ValueError, KeyError):  # the run ended before, and has no models
        pass
    return [*found, *((f"code of {node.id}", str(node.properties.get("code_digest", ""))) for node in outcome.nodes)]


def _data_digest(outcome: Outcome) -> str:
    try:
        uri = folder(outcome.node(IMAGE_EXAMPLE_GEN), REPORT_KEY, "ingest.json")
        return str(read_json(f"{uri}/ingest.json").get("data_digest", ""))
    except (Absent, OSError, ValueError):
        return ""

"""Executor of the ReleasePusher component."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from edgetune.components.common import blessings, measured_files
from edgetune.components.common.lineage import stamp, versions_of
from edgetune.components.common.names import (
    CONVERTED_MODEL_KEY,
    EDGE_DESTINATION,
    EDGE_MODEL_KEY,
    IMAGE_EXAMPLE_GEN,
    INGEST_DIGEST,
    INGEST_FILE,
    MODEL_KEY,
    PUSHED_BUNDLE_KEY,
    PUSHED_MODEL_KEY,
    REASON,
    RECIPE_SHA256,
    SAVED_MODEL_DESTINATION,
)
from edgetune.components.common.outputs import empty
from edgetune.modules.bundle.signing import sign
from edgetune.modules.bundle.write import Lineage, read_metrics, write_bundle
from edgetune.modules.core import progress
from edgetune.modules.core.errors import PushError
from edgetune.modules.evaluation.gates import as_json, read_gates
from edgetune.modules.release.marker import EDGE, SAVED_MODEL
from edgetune.modules.release.release import Places, complete, release, replaced
from edgetune.modules.settings.run import changed, digest
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.digests import digest_of

CARD_TEXTS = ("description", "author", "license", "data", "intended_use", "limits")
"""Texts for the model card: from `modules.settings.run.EdgeSettings`, then from `CardSettings`."""
CONFIGURATION_KEY = "configuration"
"""JSON, present if some settings may change from run to run: `settings`, the tree of all settings; `changeable`, the
dotted setting name by the name of the property that has its value in this run."""

LIBRARIES = ("edgetune",)  # the bundle names it; the work of other libraries is only copied
_MADE_BY = {
    "data": "ingest_report",
    "model": MODEL_KEY,
    "model_evaluation": "model_blessing",
    "converted_model": CONVERTED_MODEL_KEY,
    "edge_model": EDGE_MODEL_KEY,
    "edge_evaluation": "edge_evaluation",
}
"""Input key by the lineage step that produced it."""


class Executor(base_executor.BaseExecutor):
    """Assembles the bundle, and releases both models if all gates blessed them."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Release the models if they are blessed; complete an interrupted release in any case.

        Raises:
            DataError: The gates that the SavedModel passed cannot be read.
            ConfigError: The signing tool is not installed.
            ExportError: The evaluation cannot be read.
            PushError: Files differ from those that were measured, a model cannot be signed, or a destination cannot be
                written.
        """
        self._log_startup(input_dict, output_dict, exec_properties)
        stamp(output_dict, LIBRARIES)
        empty(output_dict)
        places = Places(exec_properties[EDGE_DESTINATION], exec_properties[SAVED_MODEL_DESTINATION])
        for found in complete(places):
            logging.info("completed the interrupted release %d", found.version)
        outputs = {
            EDGE: artifact_utils.get_single_instance(output_dict[PUSHED_BUNDLE_KEY]),
            SAVED_MODEL: artifact_utils.get_single_instance(output_dict[PUSHED_MODEL_KEY]),
        }
        if reason := blessings.refusal(input_dict):
            logging.info("not pushed: %s", reason)
            for output in outputs.values():
                blessings.record_refused(output, reason)
            progress.conclude("nothing pushed", well=False)
            return
        with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
            copies = measured_files.fetch(input_dict, Path(folder))
            sources = {EDGE: f"{folder}/bundle", SAVED_MODEL: copies[measured_files.SAVED_MODEL]}
            lineage = _write(Path(sources[EDGE]), input_dict, exec_properties, copies, versions_of(outputs[EDGE]))
            if key := exec_properties.get("sign_key"):
                for source in sources.values():
                    sign(Path(source), key, exec_properties["sign_tool"])
            made_of = {key: artifacts[0].id for key, artifacts in input_dict.items() if artifacts}
            evaluation = blessings.evaluation_of(input_dict)
            made = release(
                sources,
                places,
                exec_properties["pipeline_name"],
                made_of,
                evaluation,
                weights_sha256=lineage.weights_sha256,
                recipe_sha256=input_dict[EDGE_MODEL_KEY][0].get_string_custom_property(RECIPE_SHA256),
            )
        if reason := replaced(places, made.version):
            logging.info("not released again: %s", reason)
            for output in outputs.values():
                output.set_string_custom_property(REASON, reason)
        for name, part in made.parts().items():
            blessings.record_pushed(outputs[name], part.path, str(made.version), digest_of(part.files))
        progress.conclude(f"released version {made.version}")


def _write(
    folder: Path,
    inputs: dict[str, list[types.Artifact]],
    exec_properties: dict[str, Any],
    copies: dict[str, str],
    versions: dict[str, str | None] | None,
) -> Lineage:
    """Write the bundle from copies of what was measured, and return its lineage."""
    evaluation = copies[measured_files.EDGE_EVALUATION]
    metrics = read_metrics(evaluation)
    lineage = Lineage(
        pipeline=exec_properties["pipeline_name"],
        config_digest=_config_digest(exec_properties),
        saved_model_sha256=metrics["saved_model"]["sha256"],
        test_data_sha256=metrics["test"]["sha256"],
        weights_sha256=metrics["saved_model"]["weights_sha256"],
        data_digest=inputs["edge_evaluation"][0].get_string_custom_property("data_digest"),
        code=_code(inputs),
        versions={**_versions(inputs), "bundle": versions},
    )
    about = {name: exec_properties.get(name) or "" for name in CARD_TEXTS}
    ingest = _ingest(inputs)
    images, reading = ingest.get("splits", {}), ingest.get("reading", {})
    judged = (measured_files.MODEL_EVALUATION, measured_files.INFRA_EVALUATION)
    gates = as_json(gate for key in judged for gate in read_gates(copies[key]))
    write_bundle(folder, copies[measured_files.EDGE_MODEL], evaluation, lineage, about, images, reading, gates)
    return lineage


def _ingest(inputs: dict[str, list[types.Artifact]]) -> dict[str, Any]:
    """Return the content of ImageExampleGen's report; empty if the report is not an input.

    Raises:
        PushError: The report cannot be read, or is not the one that was written.
    """
    if not inputs.get("ingest_report"):
        return {}
    report = artifact_utils.get_single_instance(inputs["ingest_report"])
    path = f"{report.uri}/{INGEST_FILE}"
    try:
        content = filesystem.read(path)
    except OSError as error:
        raise PushError(f"{path}: {filesystem.error_line(error)}", "run again once it can be read") from error
    if hashlib.sha256(content).hexdigest() != report.get_string_custom_property(INGEST_DIGEST):
        raise PushError(
            f"{path}: is not the file that {IMAGE_EXAMPLE_GEN} wrote, so nothing was pushed",
            "find out what changed it, then run all components again, without the cache: `edgetune run --no-cache`",
        )
    return dict(json.loads(content))


def _config_digest(exec_properties: dict[str, Any]) -> str:
    if CONFIGURATION_KEY not in exec_properties:
        return str(exec_properties["config_digest"])
    # On a platform, users can change some settings for a single run.
    configuration = json.loads(exec_properties[CONFIGURATION_KEY])
    values = {setting: exec_properties[key] for key, setting in configuration["changeable"].items()}
    return digest(changed(configuration["settings"], values))


def _versions(inputs: dict[str, list[types.Artifact]]) -> dict[str, dict[str, str | None] | None]:
    """Return the library versions of each step, as recorded by its component, which may have run long ago."""
    return {step: versions_of(inputs[key][0]) for step, key in _MADE_BY.items() if inputs.get(key)}


def _code(inputs: dict[str, list[types.Artifact]]) -> dict[str, str]:
    """Return the code digest recorded on each input that has one."""
    found = {key: artifacts[0].get_string_custom_property("code_digest") for key, artifacts in sorted(inputs.items())}
    return {key: digest for key, digest in found.items() if digest}

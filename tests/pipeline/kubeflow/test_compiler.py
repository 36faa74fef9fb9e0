"""Compiling for Kubeflow Pipelines and Vertex AI: the same pipeline in their format.

The golden files are renewed by `EDGETUNE_GOLDEN=write python -m pytest tests/pipeline/kubeflow/test_compiler.py`;
check `git diff` before you commit them. They leave out digests of code and versions of libraries.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgetune.modules.core import library_versions
from edgetune.modules.core.errors import ConfigError
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.config.load import config_digest
from edgetune.pipeline.kubeflow.checks import check
from edgetune.pipeline.kubeflow.compiler import compile_pipeline, write
from edgetune.pipeline.kubeflow.parameters import PARAMETERS, parameters_of
from edgetune.pipeline.kubeflow.spec import validate

GOLDEN = Path(__file__).parent / "golden"
CONTAINERS = {
    "ImageExampleGen",
    "ImportSchemaGen",
    "StatisticsGen",
    "ExampleValidator",
    "DatasetGate",
    "LabelReviewer",
    "Transform",
    "TwoPhaseTrainer",
    "Evaluator",
    "InfraValidator",
    "EdgeExporter",
    "EdgeDescriber",
    "EdgeEvaluator",
    "ReleasePusher",
}
PLATFORM = {
    "image": "registry.example.com/edgetune:1",
    "resources": {
        "default": {"cpu": 2, "memory_gb": 8},
        "TwoPhaseTrainer": {"cpu": 8, "memory_gb": 32, "accelerator": "NVIDIA_TESLA_T4", "accelerator_count": 1},
        "ImageExampleGen": {"cpu": 4},
    },
}
FLINK = {"runner": "flink", "job_server": "flink.example.com:8099", "environment_type": "loopback"}


def settings(**changes: Any) -> RunSettings:
    values = {
        "name": "birds",
        "data": {"path": "gs://bucket/photos"},
        "model": {"backbone": "mobilenet_v2", "weights": "none"},
        "state": {"root": "gs://bucket/root/"},
        "platform": PLATFORM,
        **changes,
    }
    return RunSettings.model_validate(values)


@pytest.fixture(scope="module", params=["kubeflow", "vertex"])
def compiled(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Return a target and the pipeline compiled for it."""
    return request.param, compile_pipeline(settings(), request.param)


def tasks(job: dict[str, Any]) -> dict[str, Any]:
    return job["pipelineSpec"]["root"]["dag"]["tasks"]


def container(job: dict[str, Any], task: str) -> dict[str, Any]:
    return job["pipelineSpec"]["deploymentSpec"]["executors"][f"{task}_executor"]["container"]


def before(job: dict[str, Any], task: str) -> set[str]:
    found: set[str] = set()
    for name in tasks(job)[task].get("dependentTasks", ()):
        found |= {name} | before(job, name)
    return found


def test_every_component_is_a_task_and_there_are_no_resolvers(compiled):
    _, job = compiled
    assert set(tasks(job)) == CONTAINERS


def test_every_container_gets_beams_runner(compiled):
    target, job = compiled
    for name in CONTAINERS:
        runs = container(job, name)
        hooks = [runs["lifecycle"]["preCacheCheck"]] if "lifecycle" in runs else []
        for spec in (runs, *hooks):
            assert [flag for flag in spec["args"] if flag.startswith("--runner")] == ["--runner=FnApiRunner"], name


def test_it_is_the_same_pipeline_as_in_a_local_run(compiled):
    _, job = compiled
    for name in ("Transform", "TwoPhaseTrainer", "Evaluator", "EdgeExporter", "ReleasePusher"):
        assert "DatasetGate" in before(job, name), name
    blessings = tasks(job)["ReleasePusher"]["inputs"]["artifacts"]
    assert blessings["model_blessing"]["taskOutputArtifact"]["producerTask"] == "Evaluator"
    assert blessings["edge_blessing"]["taskOutputArtifact"]["producerTask"] == "EdgeEvaluator"
    assert blessings["infra_blessing"]["taskOutputArtifact"]["producerTask"] == "InfraValidator"


def test_a_model_is_compared_with_those_that_were_released_where_this_run_releases(compiled):
    _, job = compiled
    assert "earlier_blessings" not in tasks(job)["Evaluator"]["inputs"]["artifacts"]
    constants = {name: tasks(job)[name]["inputs"]["parameters"] for name in ("Evaluator", "ReleasePusher")}
    assert constants["Evaluator"]["releases"] == constants["ReleasePusher"]["edge_destination"]


def test_runtime_parameters_default_to_the_configuration_and_reach_their_component(compiled):
    _, job = compiled
    declared = job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    assert parameters_of(job) == {parameter.name: parameter.kind for parameter in PARAMETERS}
    assert declared["data_path"]["defaultValue"] == "gs://bucket/photos"
    assert declared["training_head_epochs"]["defaultValue"] == 10
    assert declared["evaluation_min_accuracy"]["defaultValue"] == 0.8
    assert all(parameter["isOptional"] and parameter["description"] for parameter in declared.values())
    for parameter in PARAMETERS:
        source = tasks(job)[parameter.component]["inputs"]["parameters"][parameter.key]
        assert source == {"componentInputParameter": parameter.name}


def test_folds_add_a_task_that_gets_the_same_values_of_phase_1_as_the_trainer():
    job = compile_pipeline(settings(evaluation={"folds": 5}), "kubeflow")
    assert set(tasks(job)) == CONTAINERS | {"CrossValidator"}
    validator, trainer = given(job, "CrossValidator"), given(job, "TwoPhaseTrainer")
    assert validator["folds"] == 5
    common = {key for key in validator if key.startswith(("model_", "training_"))}
    assert {key: validator[key] for key in common} == {key: trainer[key] for key in common}
    changed = {"training_head_epochs": 3, "training_head_learning_rate": 0.5}
    assert changed.items() <= given(job, "CrossValidator", **changed).items()
    artifacts = tasks(job)["Evaluator"]["inputs"]["artifacts"]
    assert artifacts["cross_validation"]["taskOutputArtifact"]["producerTask"] == "CrossValidator"
    assert "DatasetGate" in before(job, "CrossValidator")


def given(job: dict[str, Any], task: str, **values: Any) -> dict[str, Any]:
    """Return the properties that a task gets in a run with these values of runtime parameters."""
    declared = job["pipelineSpec"]["root"]["inputDefinitions"]["parameters"]
    known = {name: parameter["defaultValue"] for name, parameter in declared.items()} | values
    return {
        key: known[source["componentInputParameter"]]
        if "componentInputParameter" in source
        else source["runtimeValue"]["constant"]
        for key, source in tasks(job)[task]["inputs"]["parameters"].items()
    }


def test_a_bundle_names_the_configuration_of_its_run(compiled):
    from edgetune.components.release_pusher.executor import _config_digest

    _, job = compiled
    assert _config_digest(given(job, "ReleasePusher")) == config_digest(settings())
    changed = _config_digest(given(job, "ReleasePusher", training_head_epochs=3, evaluation_min_accuracy=0.5))
    same = settings(training={"head": {"epochs": 3}}, evaluation={"min_accuracy": 0.5})
    assert changed == config_digest(same) != config_digest(settings())


def test_each_container_has_its_resources(compiled):
    target, job = compiled
    kind = "NVIDIA_TESLA_T4" if target == "vertex" else "nvidia.com/gpu"
    trainer = {"cpuLimit": 8.0, "memoryLimit": 32.0, "accelerator": {"type": kind, "count": "1"}}
    assert container(job, "TwoPhaseTrainer")["resources"] == trainer
    assert container(job, "ImageExampleGen")["resources"] == {"cpuLimit": 4.0, "memoryLimit": 8.0}
    assert container(job, "ReleasePusher")["resources"] == {"cpuLimit": 2.0, "memoryLimit": 8.0}


def test_every_container_is_retried_and_cached_where_that_is_safe(compiled):
    target, job = compiled
    for name in CONTAINERS:
        retry = tasks(job)[name]["retryPolicy"]
        assert (retry["maxRetryCount"], retry["backoffDuration"]) == (2, "60s"), name
        cached = tasks(job)[name].get("cachingOptions", {}).get("enableCache", False)
        # Without the hook that fingerprints the data, changes would go unnoticed.
        assert cached == (target == "vertex" or name != "ImageExampleGen"), name
    hook = container(job, "ImageExampleGen").get("lifecycle", {}).get("preCacheCheck")
    assert (hook is not None) == (target == "vertex")
    assert hook is None or hook["command"] == ["python", "-m", "edgetune.pipeline.kubeflow.pre_cache_check"]


def test_with_unknown_images_whose_changes_no_platform_sees_their_component_is_not_cached():
    for target in ("kubeflow", "vertex"):
        job = compile_pipeline(settings(data={"path": "gs://bucket/photos", "unknown": "gs://bucket/others"}), target)
        parameters = tasks(job)["EdgeEvaluator"]["inputs"]["parameters"]
        assert parameters["unknown"]["runtimeValue"]["constant"] == "gs://bucket/others"
        cached = {name for name, task in tasks(job).items() if task.get("cachingOptions", {}).get("enableCache")}
        assert "EdgeEvaluator" not in cached and {"Evaluator", "TwoPhaseTrainer"} <= cached
    with pytest.raises(ConfigError, match="data.unknown 'others' is a relative path"):
        compile_pipeline(settings(data={"path": "gs://bucket/photos", "unknown": "others"}), "kubeflow")


def test_caching_and_retries_can_be_turned_off():
    job = compile_pipeline(settings(platform={**PLATFORM, "cache": False, "retries": 0}), "vertex")
    for name, task in tasks(job).items():
        assert "retryPolicy" not in task, name
        assert not task.get("cachingOptions", {}).get("enableCache"), name


def test_no_local_path_is_compiled_in(compiled, root):
    _, job = compiled
    assert str(root) not in json.dumps(job)
    schema = tasks(job)["ImportSchemaGen"]["inputs"]["parameters"]["schema_file"]
    assert schema["runtimeValue"]["constant"] == "edgetune:schemas/examples.pbtxt"


def test_artifacts_and_pushed_models_go_under_the_root(compiled):
    _, job = compiled
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/root/birds"
    parameters = tasks(job)["ReleasePusher"]["inputs"]["parameters"]
    for key, folder in (("edge_destination", "edge"), ("saved_model_destination", "saved_model")):
        assert parameters[key]["runtimeValue"]["constant"] == f"gs://bucket/root/pushed/birds/{folder}"
    parameters = tasks(job)["ImageExampleGen"]["inputs"]["parameters"]
    assert parameters["split_memory"]["runtimeValue"]["constant"] == "gs://bucket/root/birds/split_memory"


def test_every_artifact_type_can_be_imported_by_its_name(compiled):
    from tfx.orchestration.kubeflow.v2 import compiler_utils
    from tfx.utils import import_utils

    _, job = compiled
    titles = set()
    for component in job["pipelineSpec"]["components"].values():
        for artifact in component.get("outputDefinitions", {}).get("artifacts", {}).values():
            titles.add(yaml.safe_load(artifact["artifactType"]["instanceSchema"])["title"])
    assert {
        "edgetune.IngestReport",
        "edgetune.EdgeModel",
        "edgetune.EdgeBlessing",
        "edgetune.InfraBlessing",
    } <= titles
    for title in titles:
        found = import_utils.import_class_by_path(compiler_utils.TITLE_TO_CLASS_PATH.get(title, title))
        assert found.TYPE_NAME in (title, title.removeprefix("tfx."))


def test_the_same_settings_give_the_same_file(compiled, tmp_path):
    target, job = compiled
    for name, made in (("a", job), ("b", compile_pipeline(settings(), target))):
        write(made, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_a_field_unknown_to_kfp_is_detected(compiled):
    from google.protobuf import json_format

    _, job = compiled
    validate(job)
    for path in (("root",), ("root", "dag", "tasks", "Evaluator"), ("deploymentSpec",)):
        broken = json.loads(json.dumps(job))
        at = broken["pipelineSpec"]
        for step in path:
            at = at[step]
        at["surprise"] = 1
        with pytest.raises(json_format.ParseError, match="surprise"):
            validate(broken)


def masked(job: dict[str, Any]) -> str:
    """Return the job as a file, without values that change with every edit of code or version of a library."""
    copy = _short(json.loads(json.dumps(job)))
    copy["pipelineSpec"]["sdkVersion"] = "tfx"
    copy["labels"] = sorted(copy["labels"])
    return re.sub(r"\b[0-9a-f]{64}\b", "<sha256>", json.dumps(copy, indent=1, sort_keys=True)) + "\n"


def _short(value: Any) -> Any:
    """Shorten each artifact schema to its title, and leave out input definitions that are repeated in `args`."""
    if isinstance(value, list):
        follows = {index + 1 for index, item in enumerate(value) if item == "--json_serialized_inputs_spec_args"}
        return ["<input definitions>" if index in follows else _short(item) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if "instanceSchema" in value:
        return yaml.safe_load(value["instanceSchema"])["title"]
    return {key: _short(item) for key, item in value.items()}


def test_library_versions_are_those_of_the_image_and_not_of_the_compiling_machine(
    compiled, root, monkeypatch, tmp_path
):
    target, job = compiled
    before = versions(job)
    digest = hashlib.sha256((root / library_versions.IMAGE_LOCK).read_bytes()).hexdigest()
    assert before == dict.fromkeys(CONTAINERS, json.dumps({library_versions.IMAGE_LOCK: digest}))
    installed = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99.9" if name == "keras" else installed(name))
    assert versions(compile_pipeline(settings(), target)) == before
    (tmp_path / library_versions.IMAGE_LOCK).parent.mkdir()
    (tmp_path / library_versions.IMAGE_LOCK).write_text("keras==99.9\n")
    monkeypatch.setattr(library_versions, "ROOT", tmp_path)
    after = versions(compile_pipeline(settings(), target))
    assert set(after) == CONTAINERS and not set(after.values()) & set(before.values())


def versions(job: dict[str, Any]) -> dict[str, str]:
    """Return the library versions in the cache key of each task."""
    given_to = {name: task.get("inputs", {}).get("parameters", {}) for name, task in tasks(job).items()}
    return {
        name: parameters["library_versions"]["runtimeValue"]["constant"]
        for name, parameters in given_to.items()
        if "library_versions" in parameters
    }


def test_it_matches_the_golden_file(compiled):
    target, job = compiled
    path = GOLDEN / f"{target}.json"
    if os.environ.get("EDGETUNE_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(masked(job), encoding="utf-8")
    assert masked(job) == path.read_text(encoding="utf-8"), "see the top of this file"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"platform": {}}, "no container image given"),
        ({"state": {}}, "no pipeline root given"),
        ({"state": {"root": "minio://mlpipeline/x"}}, "TFX's components cannot write to minio://"),
        ({"name": "my_birds"}, "name my_birds: platforms allow only lower-case letters"),
        ({"data": {"path": "photos"}}, "data.path 'photos' is a relative path, which a container cannot resolve"),
        ({"model": {"weights": "/photos/w.h5"}}, "model.weights /photos/w.h5 is a local file"),
        ({"push": {"edge": "/mnt/edge"}}, "push.edge /mnt/edge is a local folder"),
        ({"data": {"path": "embedded:digits"}, "beam": FLINK}, "the workers of beam.runner flink cannot read it"),
    ],
)
def test_settings_that_cannot_work_in_containers_are_reported_before_compiling(changes, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        check(settings(**changes), "vertex")


def test_on_kubeflow_models_may_be_pushed_to_a_mounted_folder():
    check(settings(push={"edge": "/mnt/edge"}), "kubeflow")


def test_an_output_file_that_cannot_be_written_is_reported(tmp_path):
    with pytest.raises(ConfigError, match="cannot be written"):
        write({}, tmp_path / "absent" / "pipeline.json")

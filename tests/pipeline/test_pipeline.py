"""The wiring of the pipeline: order, channels, and the nodes that a changed setting runs again."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from ml_metadata.proto import metadata_store_pb2
from tensorflow_model_analysis.proto import config_pb2
from tfx.dsl.compiler.compiler import Compiler
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.metadata import Metadata, sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import cache_utils
from tfx.orchestration.portable.inputs_utils import resolve_parameters

from edgetune.modules.core.errors import WeightsError
from edgetune.modules.data.sources import Source
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.pipeline import Destinations, create_pipeline

FOLDERS = Source("images", "/photos", {"all": "*/*"})
BEFORE_THE_GATE = {"ImageExampleGen", "ImportSchemaGen", "StatisticsGen", "ExampleValidator", "BaselineStatistics"}
AFTER_THE_GATE = {
    "LabelReviewer",
    "Transform",
    "TwoPhaseTrainer",
    "Baseline",
    "Evaluator",
    "InfraValidator",
    "EdgeExporter",
    "EdgeDescriber",
    "EdgeEvaluator",
    "ReleasePusher",
}


def settings(**changes: Any) -> RunSettings:
    values = {"name": "birds", "data": {"path": "/photos"}, "model": {"weights": "none"}, **changes}
    return RunSettings.model_validate(values)


def build(source: Source = FOLDERS, root: str = "/nowhere", **changes: Any) -> Pipeline:
    places = Destinations(root=f"{root}/root", saved_model=f"{root}/served", edge=f"{root}/edge")
    return create_pipeline(settings(**changes), source, places)


def nodes(pipeline: Pipeline) -> dict[str, BaseNode]:
    return {node.id: node for node in pipeline.components}


@pytest.fixture(scope="module")
def birds() -> dict[str, BaseNode]:
    return nodes(build())


def came_before(node: BaseNode) -> set[str]:
    """Return the ids of all nodes that must finish before `node` starts."""
    found: set[str] = set()
    for upstream in node.upstream_nodes:
        found |= {upstream.id} | came_before(upstream)
    return found


def source_of(node: BaseNode, key: str) -> tuple[str, str]:
    """Return the node and key of the output that an input comes from."""
    channel = node.inputs[key]
    return channel.producer_component_id, channel.output_key


def test_the_pipeline_has_exactly_these_nodes(birds):
    ids = [node.id for node in build().components]
    assert len(ids) == len(set(ids))
    assert set(ids) == BEFORE_THE_GATE | {"DatasetGate"} | AFTER_THE_GATE


def test_transform_and_everything_after_it_waits_for_the_gate(birds):
    for name in AFTER_THE_GATE:
        assert "DatasetGate" in came_before(birds[name]), name
    for name in AFTER_THE_GATE - {"Transform", "LabelReviewer"}:
        assert "Transform" in came_before(birds[name]), name
    assert came_before(birds["DatasetGate"]) == BEFORE_THE_GATE


def test_the_pusher_gets_all_blessings_and_the_models_that_they_are_for(birds):
    pusher = "ReleasePusher"
    assert source_of(birds[pusher], "model_blessing") == ("Evaluator", "blessing")
    assert source_of(birds[pusher], "infra_blessing") == ("InfraValidator", "blessing")
    assert source_of(birds["InfraValidator"], "model") == ("TwoPhaseTrainer", "model")
    assert source_of(birds["InfraValidator"], "evaluation") == ("Evaluator", "evaluation")
    assert source_of(birds["InfraValidator"], "report") == ("ImageExampleGen", "report")
    assert source_of(birds[pusher], "edge_blessing") == ("EdgeEvaluator", "blessing")
    assert source_of(birds[pusher], "model") == ("TwoPhaseTrainer", "model")
    assert source_of(birds[pusher], "edge_model") == ("EdgeDescriber", "edge_model")
    assert source_of(birds["EdgeEvaluator"], "edge_model") == ("EdgeDescriber", "edge_model")
    assert source_of(birds["EdgeDescriber"], "converted_model") == ("EdgeExporter", "converted_model")
    assert source_of(birds[pusher], "converted_model") == ("EdgeExporter", "converted_model")
    assert source_of(birds[pusher], "edge_evaluation") == ("EdgeEvaluator", "evaluation")


def test_a_cross_validation_is_in_the_pipeline_only_if_it_is_wanted():
    wanted = nodes(build(evaluation={"folds": 10}))
    assert set(wanted) == BEFORE_THE_GATE | {"DatasetGate", "CrossValidator"} | AFTER_THE_GATE
    assert source_of(wanted["Evaluator"], "cross_validation") == ("CrossValidator", "cross_validation")
    validator = wanted["CrossValidator"]
    assert source_of(validator, "examples") == ("ImageExampleGen", "examples")
    assert "DatasetGate" in came_before(validator) and "TwoPhaseTrainer" not in came_before(validator)
    assert validator.exec_properties["folds"] == wanted["Evaluator"].exec_properties["folds"] == 10
    assert set(json.loads(validator.exec_properties["library_versions"])) == {
        "tensorflow", "keras", "numpy", "scikit-learn",
    }  # fmt: skip


def test_labels_are_reviewed_before_the_training_unless_that_is_not_wanted(birds):
    assert "LabelReviewer" in came_before(birds["TwoPhaseTrainer"])
    assert source_of(birds["LabelReviewer"], "examples") == ("ImageExampleGen", "examples")
    assert source_of(birds["LabelReviewer"], "report") == ("ImageExampleGen", "report")
    without = nodes(build(data={"path": "/photos", "review_labels": False}))
    assert set(without) == set(birds) - {"LabelReviewer"}


def test_models_are_delivered_to_the_given_destinations(birds):
    assert birds["ReleasePusher"].exec_properties["saved_model_destination"] == "/nowhere/served"
    assert birds["ReleasePusher"].exec_properties["edge_destination"] == "/nowhere/edge"


def test_the_evaluator_gets_only_the_raw_test_split(birds):
    evaluator = birds["Evaluator"]
    assert json.loads(evaluator.exec_properties["example_splits"]) == ["test"]
    assert source_of(evaluator, "examples") == ("ImageExampleGen", "examples")
    assert source_of(evaluator, "model") == ("TwoPhaseTrainer", "model")
    assert source_of(evaluator, "earlier_blessings") == ("Baseline", "model_blessing")


def test_the_gate_measures_drift_from_the_statistics_of_the_last_blessed_model(birds):
    assert source_of(birds["DatasetGate"], "statistics") == ("StatisticsGen", "statistics")
    assert source_of(birds["DatasetGate"], "baseline_statistics") == ("BaselineStatistics", "statistics")


def test_the_split_memory_is_in_the_pipeline_root(birds):
    assert birds["ImageExampleGen"].exec_properties["split_memory"] == "/nowhere/root/split_memory"


def test_the_metrics_are_overall_and_by_class_without_a_threshold_of_tfma():
    pipeline = build(evaluation={"min_accuracy": 0.75, "max_regression": 0.02, "min_class_accuracy": 0.5})
    properties = nodes(pipeline)["Evaluator"].exec_properties
    judged = {name: properties[name] for name in ("min_accuracy", "max_regression", "min_class_accuracy")}
    assert judged == {"min_accuracy": 0.75, "max_regression": 0.02, "min_class_accuracy": 0.5}
    config = json_format.Parse(properties["eval_config"], config_pb2.EvalConfig())
    overall, by_class = config.slicing_specs
    assert (list(overall.feature_keys), list(by_class.feature_keys)) == ([], ["label"])
    [specification] = config.metrics_specs
    assert not specification.thresholds and not specification.per_slice_thresholds
    for metric in specification.metrics:
        assert not metric.HasField("threshold")
        assert not metric.cross_slice_thresholds and not metric.per_slice_thresholds


def test_the_vocabulary_comes_from_train_alone_and_every_split_is_transformed(birds):
    splits = json.loads(birds["Transform"].exec_properties["splits_config"])
    assert splits == {"analyze": ["train"], "transform": ["train", "eval", "test"]}
    configured = json.loads(birds["Transform"].exec_properties["custom_config"])
    assert configured["image_size"] == 224 and len(configured["code_digest"]) == 64


def changed(**changes: Any) -> set[str]:
    """Return the ids of the nodes whose properties change with a setting."""
    before, after = nodes(build()), nodes(build(**changes))
    return {name for name, node in before.items() if dict(node.exec_properties) != dict(after[name].exec_properties)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"edge": {"max_accuracy_drop": 0.5, "min_agreement": 0.1, "max_bytes": 9}}, {"EdgeEvaluator"}),
        ({"edge": {"max_latency_ms": 5.5}}, {"EdgeEvaluator"}),
        ({"edge": {"required": ["int8"]}}, {"EdgeEvaluator"}),
        ({"edge": {"variants": ["float32"]}}, {"EdgeExporter"}),
        ({"edge": {"input_range": "unit"}}, {"EdgeDescriber", "EdgeEvaluator"}),
        ({"evaluation": {"min_accuracy": 0.1}}, {"Evaluator"}),
        ({"infra": {"originals": 5}}, {"InfraValidator"}),
        ({"evaluation": {"precision": 0.8}}, {"EdgeEvaluator"}),
        ({"data": {"path": "/photos", "unknown": str(Path(__file__).parent)}}, {"EdgeEvaluator"}),
        ({"training": {"calibrate": False}}, {"TwoPhaseTrainer"}),
        ({"evaluation": {"folds": 10}}, {"Evaluator"}),
        ({"training": {"seed": 5}}, {"TwoPhaseTrainer", "LabelReviewer"}),  # of the weights `none`
        (
            {"model": {"weights": "none", "image_size": 96}},
            {"DatasetGate", "LabelReviewer", "Transform", "TwoPhaseTrainer"},
        ),
        ({"data": {"path": "/photos", "max_rejected": 0.5}}, {"ImageExampleGen"}),
        ({"data": {"path": "/photos", "background": (0, 0, 0)}}, {"ImageExampleGen", "Transform", "LabelReviewer"}),
        ({"data": {"path": "/photos", "max_side": 800}}, {"ImageExampleGen", "Transform", "LabelReviewer"}),
        ({"data": {"path": "/photos", "max_label_errors": 0.2}}, {"LabelReviewer"}),
        ({"data": {"path": "/photos", "allow": ["leakage"]}}, {"DatasetGate"}),
        ({"data": {"path": "/photos", "allow": ["label_errors"]}}, {"DatasetGate", "LabelReviewer"}),
        ({"data": {"path": "/photos", "group": "p(.)"}}, {"ImageExampleGen", "DatasetGate"}),
        ({"data": {"path": "/photos", "min_examples_per_class": 3}}, {"DatasetGate"}),
    ],
)
def test_a_setting_changes_the_properties_of_the_nodes_that_use_it_and_of_the_pusher(changes, expected):
    # The lineage in the bundle has a digest of the whole configuration.
    assert changed(**changes) == (expected | {"ReleasePusher"} if changes else set())


DESCRIBED, SAID = {"EdgeDescriber"}, set()
TEXTS = {
    "edge.description": DESCRIBED,
    "edge.author": DESCRIBED,
    "edge.license": DESCRIBED,
    "card.data": SAID,
    "card.intended_use": SAID,
    "card.limits": SAID,
}
"""What runs again besides ReleasePusher, whose bundle has the model card, if a text changes; and what follows it."""


@pytest.mark.parametrize("text", TEXTS)
def test_a_changed_text_converts_nothing(text):
    group, name = text.split(".")
    assert changed(**{group: {name: "another text"}}) == TEXTS[text] | {"ReleasePusher"}


def test_every_text_is_in_the_table():
    """Texts are what has no other type than `str`: numbers, choices and patterns are not."""
    found = set()
    for group in ("edge", "card"):
        fields = RunSettings.model_fields[group].annotation.model_fields
        found |= {f"{group}.{name}" for name, field in fields.items() if field.annotation is str}
    assert found == set(TEXTS)


def test_what_is_in_the_files_is_measured_again_and_not_converted():
    assert came_before(nodes(build())["EdgeExporter"]).isdisjoint({"EdgeDescriber", "EdgeEvaluator"})
    assert "EdgeDescriber" in came_before(nodes(build())["EdgeEvaluator"])


LIBRARIES = {
    "pillow": {"ImageExampleGen", "InfraValidator", "EdgeEvaluator"},
    "pillow-heif": {"ImageExampleGen", "InfraValidator", "EdgeEvaluator"},
    "scipy": {"ImageExampleGen", "TwoPhaseTrainer", "Evaluator", "EdgeEvaluator"},
    "numpy": {
        "ImageExampleGen",
        "LabelReviewer",
        "TwoPhaseTrainer",
        "CrossValidator",
        "Evaluator",
        "EdgeExporter",
        "EdgeDescriber",
        "EdgeEvaluator",
    },
    "flatbuffers": {"EdgeDescriber"},
    "tensorflow": {
        "ImageExampleGen",
        "LabelReviewer",
        "Transform",
        "TwoPhaseTrainer",
        "CrossValidator",
        "Evaluator",
        "InfraValidator",
        "EdgeExporter",
        "EdgeEvaluator",
    },
    "tensorflow-metadata": {"ImportSchemaGen"},
    "tensorflow-data-validation": {"StatisticsGen", "ExampleValidator", "DatasetGate"},
    "tensorflow-transform": {"Transform", "TwoPhaseTrainer"},
    "keras": {"LabelReviewer", "TwoPhaseTrainer", "CrossValidator"},
    "scikit-learn": {"LabelReviewer", "CrossValidator"},
    "cleanlab": {"LabelReviewer"},
    "tensorflow-model-analysis": {"Evaluator"},
    "ai-edge-litert": {"EdgeExporter", "EdgeDescriber", "EdgeEvaluator"},
    "tfx": {"ImportSchemaGen", "StatisticsGen", "ExampleValidator", "Transform", "Evaluator"},
    "edgetune": {"ReleasePusher"},
    "apache-beam": set(),
    "matplotlib": set(),
}


def pretend(monkeypatch: pytest.MonkeyPatch, library: str, version: str) -> None:
    """Make this environment report another version of a library."""
    installed = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: version if name == library else installed(name))


FOLDS = {"evaluation": {"folds": 3}}
"""With it, all components are in the pipeline."""


def test_every_executed_component_has_the_versions_of_its_libraries():
    birds = nodes(build(**FOLDS))
    executed = {name: node for name, node in birds.items() if not isinstance(node, Resolver)}
    assert set(birds) - set(executed) == {"Baseline", "BaselineStatistics"}
    listed = {name: set(json.loads(node.exec_properties["library_versions"])) for name, node in executed.items()}
    assert listed == {name: {library for library, users in LIBRARIES.items() if name in users} for name in executed}


@pytest.mark.parametrize("library", LIBRARIES)
def test_another_version_of_a_library_changes_only_the_keys_of_components_that_use_it(library, monkeypatch, tmp_path):
    before = keys(build(**FOLDS), tmp_path)
    assert keys(build(**FOLDS), tmp_path) == before
    pretend(monkeypatch, library, "99.9")
    after = keys(build(**FOLDS), tmp_path)
    assert {name for name, key in before.items() if key != after[name]} == LIBRARIES[library]


def keys(pipeline: Pipeline, folder: Path) -> dict[str, str]:
    """Return the cache key of each node, for the same inputs."""
    compiled = Compiler().compile(pipeline)
    found = {}
    with Metadata(sqlite_metadata_connection_config(str(folder / "metadata.db"))) as handle:
        for each in compiled.nodes:
            node = each.pipeline_node
            parameters = resolve_parameters(node.parameters)
            context = cache_utils.get_cache_context(handle, node, compiled.pipeline_info, parameters=parameters)
            found[node.node_info.id] = context.name
    assert len(found) == len(pipeline.components)
    return found


@pytest.mark.parametrize("kind", ["images", "tfrecords"])
def test_user_defined_splits_are_not_split_again(kind):
    patterns = {"train": "train/*", "eval": "val/*", "test": "test/*"}
    properties = nodes(build(Source(kind, "/photos", patterns)))["ImageExampleGen"].exec_properties
    assert properties["source_kind"] == kind and properties["input_base"] == "/photos"
    splits = json.loads(properties["input_config"])["splits"]
    assert {split["name"]: split["pattern"] for split in splits} == patterns
    assert "splits" not in json.loads(properties["output_config"]).get("split_config", {})


def test_edgetunes_splits_have_the_configured_sizes_and_keep_groups_together():
    data = {"path": "/photos", "splits": {"train": 5, "eval": 2, "test": 3}}
    config = json.loads(nodes(build(data=data))["ImageExampleGen"].exec_properties["output_config"])["split_config"]
    assert config["partition_feature_name"] == "split_group"
    sizes = {split["name"]: split["hash_buckets"] for split in config["splits"]}
    assert sizes == {"train": 5, "eval": 2, "test": 3}


def test_building_writes_nothing_and_passes_on_what_the_runner_needs(tmp_path):
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(tmp_path / "metadata.db")
    places = Destinations(*(str(tmp_path / name) for name in ("root", "served", "edge")))
    pipeline = create_pipeline(settings(), FOLDERS, places, connection, ["--runner=X"], cache=False)
    assert (pipeline.pipeline_info.pipeline_name, pipeline.pipeline_info.pipeline_root) == ("birds", places.root)
    assert pipeline.metadata_connection_config == connection
    assert pipeline.beam_pipeline_args == ["--runner=X"] and not pipeline.enable_cache
    assert build().enable_cache
    assert list(tmp_path.iterdir()) == []


def test_only_image_example_gen_gets_several_processes_for_many_images(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(4)))
    many = build(replace(FOLDERS, images=1_000_000))
    parallel = {
        name
        for name, node in nodes(many).items()
        if any("direct_num_workers" in flag for flag in getattr(node.executor_spec, "beam_pipeline_args", []))
    }
    assert parallel == {"ImageExampleGen"}
    for few in (build(replace(FOLDERS, images=100)), build()):
        assert not nodes(few)["ImageExampleGen"].executor_spec.beam_pipeline_args


def test_a_missing_weights_file_is_reported_when_the_pipeline_is_built(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        build(model={"weights": str(Path(tmp_path, "absent.h5"))})

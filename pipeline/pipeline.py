"""The pipeline: all components and the channels between them, as in the picture in the README."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import transform_pb2

from edgetune.components.common.names import (
    BLESSING_KEY,
    CROSS_VALIDATION_KEY,
    EDGE_MODEL_KEY,
    EVALUATION_KEY,
    EXAMPLES_KEY,
    IMPORT_SCHEMA_GEN,
    MODEL_KEY,
    REPORT_KEY,
    STATISTICS_KEY,
)
from edgetune.components.cross_validator import CrossValidator
from edgetune.components.curated_schema.component import CuratedSchema
from edgetune.components.data_validation.component import ExampleValidator, StatisticsGen
from edgetune.components.dataset_gate import DatasetGate
from edgetune.components.edge_evaluator import EdgeEvaluator
from edgetune.components.edge_exporter import EdgeExporter
from edgetune.components.evaluator import Evaluator
from edgetune.components.image_example_gen import ImageExampleGen
from edgetune.components.infra_validator import InfraValidator
from edgetune.components.label_reviewer import LabelReviewer
from edgetune.components.release_pusher import ReleasePusher
from edgetune.components.transform import Transform
from edgetune.components.two_phase_trainer import TwoPhaseTrainer
from edgetune.modules.contracts.example_features import SPLITS
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.package_paths import ROOT
from edgetune.modules.data.sources import Source
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.beam.flags import ingest_flags
from edgetune.pipeline.config.load import config_digest
from edgetune.pipeline.dag.eval_config import eval_config
from edgetune.pipeline.dag.resolvers import earlier_blessings, earlier_statistics

SCHEMA = ROOT / "schemas" / "examples.pbtxt"
_PREPROCESSING, _TRANSFORM = "edgetune.modules.examples.preprocessing", "edgetune.components.transform.executor"


@dataclass(frozen=True)
class Destinations:
    """Folders or URLs for the results of a run."""

    root: str
    """TFX's pipeline root, with all artifacts."""
    saved_model: str
    """Folder of pushed SavedModel versions."""
    edge: str
    """Folder of pushed edge bundles."""
    after: str | None = None
    """The version that the release comes after (`pipeline.metadata.pushes`)."""


def create_pipeline(
    settings: RunSettings,
    source: Source | None,
    destinations: Destinations,
    metadata: metadata_store_pb2.ConnectionConfig | None = None,
    beam_args: Sequence[str] = (),
    cache: bool = True,
    resolvers: bool = True,
) -> Pipeline:
    """Build the pipeline without running it.

    Args:
        settings: The configuration of the run.
        source: The result of `modules.data.sources.discover` for `settings.data.path`; None to discover it at run time.
        destinations: Folders or URLs for artifacts and pushed models.
        metadata: Connection to ML Metadata; None if the platform has its own.
        beam_args: Beam flags for all components that use it; ImageExampleGen gets its `ingest_flags` in addition.
        cache: Whether to reuse results of earlier runs if nothing that they depend on has changed.
        resolvers: Find what the run is compared with by queries to ML Metadata; if not, earlier models are found by the
            markers of releases, and drift is not measured.

    Raises:
        WeightsError: The weights file is missing.
    """
    example_gen = ImageExampleGen(source, settings.data, split_memory=f"{destinations.root}/split_memory")
    example_gen.with_beam_pipeline_args(ingest_flags(settings.beam, source.images if source else None))
    examples = example_gen.outputs[EXAMPLES_KEY]

    schema_gen = CuratedSchema(SCHEMA).with_id(IMPORT_SCHEMA_GEN)
    schema = schema_gen.outputs["schema"]
    statistics_gen = StatisticsGen(examples=examples, schema=schema)
    statistics = statistics_gen.outputs[STATISTICS_KEY]
    validator = ExampleValidator(statistics=statistics, schema=schema)
    baseline_statistics = earlier_statistics(statistics) if resolvers else None
    gate = DatasetGate(
        examples=examples,
        anomalies=validator.outputs["anomalies"],
        report=example_gen.outputs[REPORT_KEY],
        statistics=statistics,
        settings=settings.data,
        image_size=settings.model.image_size,
        baseline_statistics=baseline_statistics.outputs[STATISTICS_KEY] if baseline_statistics else None,
    )

    transform = Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn=f"{_PREPROCESSING}.preprocessing_fn",
        # The vocabulary of train has the classes of all splits, since ImageExampleGen fails if train lacks one.
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=SPLITS),
        # The digest re-runs Transform when the code changes: TFX itself only compares the name of the function.
        custom_config={
            "image_size": settings.model.image_size,
            # The exported graph reads photographs as ImageExampleGen does.
            "reading": settings.data.model_dump(mode="json", include={"max_pixels", "max_side", "background"}),
            "code_digest": code_digest(_PREPROCESSING, _TRANSFORM),
        },
        # StatisticsGen computes useful ones; statistics of encoded images and raw pixels are not.
        disable_statistics=True,
    )
    transform.add_upstream_node(gate)

    trainer = TwoPhaseTrainer(
        transformed_examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        model=settings.model,
        training=settings.training,
    )
    model = trainer.outputs[MODEL_KEY]
    reviewer = (
        LabelReviewer(
            examples=examples,
            report=example_gen.outputs[REPORT_KEY],
            model=settings.model,
            data=settings.data,
            seed=settings.training.seed,
        )
        if settings.data.review_labels
        else None
    )
    if reviewer:
        reviewer.add_upstream_node(gate)
        trainer.add_upstream_node(reviewer)  # which may stop the run

    cross_validator = (
        CrossValidator(
            examples=examples,
            transform_graph=transform.outputs["transform_graph"],
            model=settings.model,
            training=settings.training,
            data=settings.data,
            folds=settings.evaluation.folds,
        )
        if settings.evaluation.folds
        else None
    )
    baseline = earlier_blessings(model, settings.evaluation) if resolvers else None
    evaluator = Evaluator(
        examples=examples,
        example_splits=["test"],
        model=model,
        earlier_blessings=baseline.outputs["model_blessing"] if baseline else None,
        releases=None if resolvers else destinations.edge,
        cross_validation=cross_validator.outputs[CROSS_VALIDATION_KEY] if cross_validator else None,
        eval_config=eval_config(),
        settings=settings.evaluation,
    )
    blessing = evaluator.outputs[BLESSING_KEY]

    infra_validator = InfraValidator(
        model=model,
        evaluation=evaluator.outputs[EVALUATION_KEY],
        examples=examples,
        report=example_gen.outputs[REPORT_KEY],
        settings=settings.infra,
    )
    infra_blessing = infra_validator.outputs[BLESSING_KEY]

    edge_exporter = EdgeExporter(
        model=model, transformed_examples=transform.outputs["transformed_examples"], settings=settings.edge
    )
    edge_model = edge_exporter.outputs[EDGE_MODEL_KEY]
    edge_evaluator = EdgeEvaluator(
        edge_model=edge_model,
        model=model,
        examples=examples,
        settings=settings.edge,
        evaluation=settings.evaluation,
        data=settings.data,
        deferred=source is None,
    )
    edge_blessing = edge_evaluator.outputs[BLESSING_KEY]

    release_pusher = ReleasePusher(
        edge_model=edge_model,
        edge_evaluation=edge_evaluator.outputs[EVALUATION_KEY],
        edge_blessing=edge_blessing,
        model=model,
        model_blessing=blessing,
        infra_blessing=infra_blessing,
        saved_model_destination=destinations.saved_model,
        edge_destination=destinations.edge,
        after=destinations.after,
        pipeline_name=settings.name,
        config_digest=config_digest(settings),
        ingest_report=example_gen.outputs[REPORT_KEY],
        push=settings.push,
        edge=settings.edge,
        card=settings.card,
    )
    nodes: list[BaseNode | None] = [example_gen, schema_gen, statistics_gen, validator, baseline_statistics, gate]
    nodes += [
        reviewer,
        transform,
        trainer,
        cross_validator,
        baseline,
        evaluator,
        infra_validator,
        edge_exporter,
        edge_evaluator,
    ]
    nodes += [release_pusher]
    return Pipeline(
        pipeline_name=settings.name,
        pipeline_root=destinations.root,
        components=[node for node in nodes if node],
        enable_cache=cache,
        metadata_connection_config=metadata,
        beam_pipeline_args=list(beam_args),
    )

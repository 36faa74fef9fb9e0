"""The pipeline: every component, and what it gets from which. This is the picture that the README draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import transform_pb2

from edgetune.components.curated_schema.component import CuratedSchema
from edgetune.components.data_validation.component import ExampleValidator, StatisticsGen
from edgetune.components.dataset_gate import DatasetGate
from edgetune.components.edge_evaluator import EdgeEvaluator
from edgetune.components.edge_exporter import EdgeExporter
from edgetune.components.edge_pusher import EdgePusher
from edgetune.components.evaluator import Evaluator
from edgetune.components.image_example_gen import ImageExampleGen
from edgetune.components.saved_model_pusher import SavedModelPusher
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
from edgetune.pipeline.dag.resolvers import Baselines, OwnMetadata

SCHEMA = ROOT / "schemas" / "examples.pbtxt"
_PREPROCESSING, _TRANSFORM = "edgetune.modules.examples.preprocessing", "edgetune.components.transform.executor"


@dataclass(frozen=True)
class Places:
    """Where a run keeps what it makes."""

    root: str
    """TFX's pipeline root: all artifacts."""
    saved_model: str
    """Folder of pushed SavedModel versions."""
    edge: str
    """Folder of pushed edge bundles."""


def create_pipeline(
    settings: RunSettings,
    source: Source | None,
    places: Places,
    metadata: metadata_store_pb2.ConnectionConfig | None = None,
    beam_args: Sequence[str] = (),
    cache: bool = True,
    baselines: Baselines | None = None,
) -> Pipeline:
    """Builds the pipeline; nothing is run.

    Args:
        settings: The run's configuration.
        source: What `modules.data.sources.discover` found under `settings.data.path`; None leaves that to the run.
        places: Where artifacts and pushed models go.
        metadata: Connection to ML Metadata; None where the platform has its own.
        beam_args: Flags for Beam, for all components that use it; ImageExampleGen has its own `ingest_flags` too.
        cache: Whether results of earlier runs are taken where nothing they depend on has changed.
        baselines: How a run finds the last blessed model; by default, by our own queries to ML Metadata.

    Raises:
        WeightsError: The file of weights is missing.
    """
    baselines = baselines or OwnMetadata()
    example_gen = ImageExampleGen(source, settings.data, split_memory=f"{places.root}/split_memory")
    example_gen.with_beam_pipeline_args(ingest_flags(settings.beam, source.images if source else None))
    examples = example_gen.outputs["examples"]

    schema_gen = CuratedSchema(SCHEMA).with_id("ImportSchemaGen")
    schema = schema_gen.outputs["schema"]
    statistics_gen = StatisticsGen(examples=examples, schema=schema)
    validator = ExampleValidator(statistics=statistics_gen.outputs["statistics"], schema=schema)
    baseline_statistics = baselines.statistics(statistics_gen.outputs["statistics"])
    gate = DatasetGate(
        examples=examples,
        anomalies=validator.outputs["anomalies"],
        report=example_gen.outputs["report"],
        statistics=statistics_gen.outputs["statistics"],
        settings=settings.data,
        baseline_statistics=baseline_statistics.outputs["statistics"] if baseline_statistics else None,
    )

    transform = Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn=f"{_PREPROCESSING}.preprocessing_fn",
        # The vocabulary is that of all splits' classes, and each is in train: ImageExampleGen fails otherwise.
        splits_config=transform_pb2.SplitsConfig(analyze=["train"], transform=SPLITS),
        # The digest re-runs Transform when the code changes: TFX itself sees only the function's name.
        custom_config={
            "image_size": settings.model.image_size,
            "code_digest": code_digest(_PREPROCESSING, _TRANSFORM),
        },
        # StatisticsGen has those of the data; of encoded images and raw pixels they would say nothing.
        disable_statistics=True,
    )
    transform.add_upstream_node(gate)

    trainer = TwoPhaseTrainer(
        transformed_examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        model=settings.model,
        training=settings.training,
    )
    model = trainer.outputs["model"]

    baseline = baselines.model(model)
    evaluator = Evaluator(
        examples=examples,
        example_splits=["test"],
        model=model,
        baseline_model=baseline.outputs["model"] if baseline else None,
        eval_config=eval_config(settings.evaluation),
        settings=settings.evaluation,
    )
    blessing = evaluator.outputs["blessing"]

    edge_exporter = EdgeExporter(
        model=model, transformed_examples=transform.outputs["transformed_examples"], settings=settings.edge
    )
    edge_model = edge_exporter.outputs["edge_model"]
    edge_evaluator = EdgeEvaluator(edge_model=edge_model, model=model, examples=examples, settings=settings.edge)
    edge_blessing = edge_evaluator.outputs["blessing"]

    saved_model_pusher = SavedModelPusher(
        model=model, model_blessing=blessing, edge_blessing=edge_blessing, destination=places.saved_model
    )
    edge_pusher = EdgePusher(
        edge_model=edge_model,
        edge_evaluation=edge_evaluator.outputs["evaluation"],
        edge_blessing=edge_blessing,
        model=model,
        model_blessing=blessing,
        destination=places.edge,
        pipeline_name=settings.name,
        config_digest=config_digest(settings),
        ingest_report=example_gen.outputs["report"],
        push=settings.push,
        edge=settings.edge,
        card=settings.card,
    )
    nodes: list[BaseNode | None] = [example_gen, schema_gen, statistics_gen, validator, baseline_statistics, gate]
    nodes += [transform, trainer, baseline, evaluator, edge_exporter, edge_evaluator, saved_model_pusher, edge_pusher]
    return Pipeline(
        pipeline_name=settings.name,
        pipeline_root=places.root,
        components=[node for node in nodes if node],
        enable_cache=cache,
        metadata_connection_config=metadata,
        beam_pipeline_args=list(beam_args),
    )

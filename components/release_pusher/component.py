"""Interface of the ReleasePusher component."""

from __future__ import annotations

from typing import Any

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from edgetune.components.common.artifacts import (
    ConvertedModel,
    EdgeBlessing,
    EdgeEvaluation,
    EdgeModel,
    InfraBlessing,
    IngestReport,
    PushedBundle,
)
from edgetune.components.common.names import (
    AFTER,
    CONVERTED_MODEL_KEY,
    EDGE_DESTINATION,
    EDGE_MODEL_KEY,
    MODEL_KEY,
    PUSHED_BUNDLE_KEY,
    PUSHED_MODEL_KEY,
    SAVED_MODEL_DESTINATION,
)
from edgetune.components.release_pusher import executor
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.settings.run import CardSettings, EdgeSettings, PushSettings, flatten


class ReleasePusherSpec(types.ComponentSpec):
    """Inputs, outputs and execution properties of ReleasePusher."""

    PARAMETERS = {
        SAVED_MODEL_DESTINATION: ExecutionParameter(type=str),
        EDGE_DESTINATION: ExecutionParameter(type=str),
        AFTER: ExecutionParameter(type=str, optional=True),
        "pipeline_name": ExecutionParameter(type=str),
        "config_digest": ExecutionParameter(type=str),
        executor.CONFIGURATION_KEY: ExecutionParameter(type=str, optional=True),
        **{name: ExecutionParameter(type=str) for name in executor.CARD_TEXTS},
        "sign_key": ExecutionParameter(type=str, optional=True),
        "sign_tool": ExecutionParameter(type=str),
        "code_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }
    INPUTS = {
        EDGE_MODEL_KEY: ChannelParameter(type=EdgeModel),
        "edge_evaluation": ChannelParameter(type=EdgeEvaluation),
        "edge_blessing": ChannelParameter(type=EdgeBlessing),
        MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": ChannelParameter(type=InfraBlessing),
        CONVERTED_MODEL_KEY: ChannelParameter(type=ConvertedModel, optional=True),
        "ingest_report": ChannelParameter(type=IngestReport, optional=True),
    }
    OUTPUTS = {
        PUSHED_MODEL_KEY: ChannelParameter(type=standard_artifacts.PushedModel),
        PUSHED_BUNDLE_KEY: ChannelParameter(type=PushedBundle),
    }


class ReleasePusher(base_component.BaseComponent):
    """A TFX component that delivers a SavedModel for TensorFlow Serving and an edge bundle for phones, as one release.

    It assembles the bundle from the blessed variants, signs both models if a key is given, and delivers both under one
    version number: both are prepared, then switched, the bundle first, and the marker of the release is written last
    (`modules.release`). TFX's own Pusher checks a model blessing and an infrastructure blessing, and pushes without one
    that is not wired. This component requires three: of the Evaluator and InfraValidator for this model, and of
    EdgeEvaluator for this edge model. Without them it does not push, records the reason, and succeeds. It fails if a
    file of the models or of their evaluations was changed since it was measured.

    ```
    release_pusher = ReleasePusher(
        edge_model=edge_describer.outputs["edge_model"],
        edge_evaluation=edge_evaluator.outputs["evaluation"],
        edge_blessing=edge_evaluator.outputs["blessing"],
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_validator.outputs["blessing"],
        saved_model_destination="models/flowers",
        edge_destination="bundles/flowers",
        pipeline_name="flowers",
        config_digest=config_digest(settings),
    )
    ```

    Component `outputs` contains:
     - `pushed_model`: Channel of type `PushedModel`, and
     - `pushed_bundle`: Channel of type `PushedBundle`: each with the custom properties `pushed` (1 or 0), and
       `pushed_destination` and `pushed_version`, which is the same for both, or `reason`.
    """

    SPEC_CLASS = ReleasePusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        edge_model: types.BaseChannel,
        edge_evaluation: types.BaseChannel,
        edge_blessing: types.BaseChannel,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        infra_blessing: types.BaseChannel,
        saved_model_destination: str,
        edge_destination: str,
        pipeline_name: str,
        config_digest: str,
        converted_model: types.BaseChannel | None = None,
        ingest_report: types.BaseChannel | None = None,
        push: PushSettings | None = None,
        edge: EdgeSettings | None = None,
        card: CardSettings | None = None,
        after: str | None = None,
    ) -> None:
        """Construct a ReleasePusher component.

        Args:
            edge_model: Channel of type `EdgeModel`.
            edge_evaluation: Channel of type `EdgeEvaluation`, for that edge model.
            edge_blessing: Channel of type `EdgeBlessing`, from the same EdgeEvaluator.
            model: Channel of type `Model`, from which the edge model was made.
            model_blessing: Channel of type `ModelBlessing`, from the Evaluator.
            infra_blessing: Channel of type `InfraBlessing`, from InfraValidator.
            saved_model_destination: Folder or URL of versions; the SavedModel becomes `<folder>/<version>`.
            edge_destination: Folder or URL of versions; the bundle becomes `<folder>/<version>`, and the marker of the
                release `<folder>/releases/<version>.json`.
            pipeline_name: Written into the bundle's lineage.
            config_digest: Digest of the run's configuration, written into the bundle's lineage.
            converted_model: Channel of type `ConvertedModel`, from which the edge model was made: it has code and
                library versions of the conversion, for the bundle's lineage.
            ingest_report: Channel of type `IngestReport`, from ImageExampleGen: the source of the image counts in the
                model card and of the read settings in `bundle.json`.
            push: Key and tool for signing; by default neither model is signed.
            edge: Description, author and licence of the model, written into the model card.
            card: Texts that only people can write, for the model card.
            after: With another value, the push is not taken from the cache: the version that it comes after.

        Raises:
            ValueError: A destination is empty.
        """
        if not saved_model_destination or not edge_destination:
            raise ValueError("ReleasePusher needs two destinations: folders or URLs of versions")
        push, about = push or PushSettings(), flatten(card or CardSettings()) | flatten(edge or EdgeSettings())
        given = {CONVERTED_MODEL_KEY: converted_model, "ingest_report": ingest_report}
        optional: dict[str, Any] = {key: channel for key, channel in given.items() if channel is not None}
        optional |= {"sign_key": push.sign_key} if push.sign_key is not None else {}
        optional |= {AFTER: after} if after is not None else {}
        spec = ReleasePusherSpec(
            edge_model=edge_model,
            edge_evaluation=edge_evaluation,
            edge_blessing=edge_blessing,
            model=model,
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            pushed_bundle=types.Channel(type=PushedBundle),
            saved_model_destination=saved_model_destination,
            edge_destination=edge_destination,
            pipeline_name=pipeline_name,
            config_digest=config_digest,
            code_digest=code_digest(executor.__name__),
            library_versions=library_versions(executor.LIBRARIES),
            sign_tool=push.sign_tool,
            **{name: about[name] for name in executor.CARD_TEXTS},
            **optional,
        )
        super().__init__(spec=spec)

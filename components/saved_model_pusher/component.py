"""Interface of the SavedModelPusher component."""

from __future__ import annotations

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from edgetune.components.common.artifacts import EdgeBlessing, EdgeEvaluation, EdgeModel, InfraBlessing
from edgetune.components.common.names import EDGE_MODEL_KEY, MODEL_KEY, PUSHED_MODEL_KEY
from edgetune.components.saved_model_pusher import executor
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.settings.run import PushSettings


class SavedModelPusherSpec(types.ComponentSpec):
    """Inputs, outputs and execution properties of SavedModelPusher."""

    PARAMETERS = {
        "destination": ExecutionParameter(type=str),
        "after": ExecutionParameter(type=str, optional=True),
        "sign_key": ExecutionParameter(type=str, optional=True),
        "sign_tool": ExecutionParameter(type=str),
        "code_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }
    INPUTS = {
        MODEL_KEY: ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": ChannelParameter(type=standard_artifacts.ModelBlessing),
        "infra_blessing": ChannelParameter(type=InfraBlessing),
        "edge_blessing": ChannelParameter(type=EdgeBlessing),
        # Not delivered here; but neither model is, if the files of either were changed.
        EDGE_MODEL_KEY: ChannelParameter(type=EdgeModel),
        "edge_evaluation": ChannelParameter(type=EdgeEvaluation),
    }
    OUTPUTS = {PUSHED_MODEL_KEY: ChannelParameter(type=standard_artifacts.PushedModel)}


class SavedModelPusher(base_component.BaseComponent):
    """A TFX component that delivers a SavedModel for TensorFlow Serving.

    TFX's own Pusher checks a model blessing and an infrastructure blessing, and pushes without one that is not wired.
    This component requires three blessings for this model, from the Evaluator, InfraValidator and EdgeEvaluator;
    without them it does not push, records the reason, and succeeds. It fails if files of the model, of the edge model
    or of its evaluation were changed since. The new version appears atomically, signed if a key is given.

    ```
    pusher = SavedModelPusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_validator.outputs["blessing"],
        edge_blessing=edge_evaluator.outputs["blessing"],
        edge_model=edge_exporter.outputs["edge_model"],
        edge_evaluation=edge_evaluator.outputs["evaluation"],
        destination="models/flowers",
    )
    ```

    Component `outputs` contains:
     - `pushed_model`: Channel of type `PushedModel`: custom properties `pushed` (1 or 0), and `pushed_destination` and
       `pushed_version`, or `reason`.
    """

    SPEC_CLASS = SavedModelPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        infra_blessing: types.BaseChannel,
        edge_blessing: types.BaseChannel,
        edge_model: types.BaseChannel,
        edge_evaluation: types.BaseChannel,
        destination: str,
        push: PushSettings | None = None,
        after: str | None = None,
    ) -> None:
        """Construct a SavedModelPusher component.

        Args:
            model: Channel of type `Model`.
            model_blessing: Channel of type `ModelBlessing`, from the Evaluator.
            infra_blessing: Channel of type `InfraBlessing`, from InfraValidator.
            edge_blessing: Channel of type `EdgeBlessing`, from EdgeEvaluator.
            edge_model: Channel of type `EdgeModel`, made from the model.
            edge_evaluation: Channel of type `EdgeEvaluation`, for that edge model.
            destination: Folder or URL of versions; the model becomes `<destination>/<version>`.
            push: Key and tool for signing; by default the model is not signed.
            after: With another value, the push is not taken from the cache: the version that it comes after.

        Raises:
            ValueError: `destination` is empty.
        """
        if not destination:
            raise ValueError("SavedModelPusher needs a destination: the folder or URL of versions")
        push = push or PushSettings()
        spec = SavedModelPusherSpec(
            model=model,
            model_blessing=model_blessing,
            infra_blessing=infra_blessing,
            edge_blessing=edge_blessing,
            edge_model=edge_model,
            edge_evaluation=edge_evaluation,
            pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            destination=destination,
            sign_tool=push.sign_tool,
            **({"sign_key": push.sign_key} if push.sign_key is not None else {}),
            **({"after": after} if after is not None else {}),
            code_digest=code_digest(executor.__name__),
            library_versions=library_versions(executor.LIBRARIES),
        )
        super().__init__(spec=spec)

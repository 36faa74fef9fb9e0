"""Interface of the LabelReviewer component."""

from __future__ import annotations

import getpass
import json

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.channel import Channel
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from edgetune.components.common.artifacts import DatasetFindings, IngestReport
from edgetune.components.common.names import EXAMPLES_KEY, FINDINGS_KEY, REPORT_KEY
from edgetune.components.common.parameters import READING, parameters_of, reading_properties
from edgetune.components.label_reviewer.executor import LIBRARIES, MODEL_PREFIX, SEED, Executor
from edgetune.modules.core.code_digest import code_digest
from edgetune.modules.core.library_versions import KEY, library_versions
from edgetune.modules.core.package_paths import portable
from edgetune.modules.models.weights import weights_digest
from edgetune.modules.settings.run import DataSettings, ModelSettings, flatten

_UNUSED = f"{MODEL_PREFIX}head"
_OWN = ("label_errors", "outliers")
"""Findings that this component makes: what else `data.allow` names does not review all labels again."""


class LabelReviewerSpec(ComponentSpec):
    """Inputs, outputs and properties of LabelReviewer: the pretrained backbone, and how images are read."""

    PARAMETERS = {
        **{
            name: parameter
            for name, parameter in parameters_of(ModelSettings, MODEL_PREFIX).items()
            if not name.startswith(_UNUSED)
        },
        SEED: ExecutionParameter(type=int),
        "max_label_errors": ExecutionParameter(type=float),
        "allow": ExecutionParameter(type=str),
        "allowed_by": ExecutionParameter(type=str),
        **{name: ExecutionParameter(type=kind) for name, kind in READING.items()},
        "weights_digest": ExecutionParameter(type=str),
        "code_digest": ExecutionParameter(type=str),
        KEY: ExecutionParameter(type=str),
    }
    INPUTS = {
        EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        REPORT_KEY: ChannelParameter(type=IngestReport),
    }
    OUTPUTS = {FINDINGS_KEY: ChannelParameter(type=DatasetFindings)}


class LabelReviewer(base_component.BaseComponent):
    """A TFX component that finds labels that are probably wrong, and images that resemble no other.

    Each image is judged by a classifier on features of the pretrained backbone that has seen neither it nor an image of
    its group (`modules.data.label_errors`). The features are those of CrossValidator, if both are in the pipeline: on
    a local disk they are computed once; if the artifacts are behind a URL, each computes them in a temporary folder,
    whenever it runs. It informs; it fails only if more labels than `data.max_label_errors` are probably wrong and
    `data.allow` does not name it. No component reads its output, so the trainer must name it as an upstream node.

    ## Example
    ```
    reviewer = LabelReviewer(
        examples=example_gen.outputs["examples"],
        report=example_gen.outputs["report"],
        model=settings.model,
        data=settings.data,
        seed=settings.training.seed,
    )
    trainer.add_upstream_node(reviewer)
    ```

    Component `outputs` contains:
     - `findings`: Channel of type `DatasetFindings`: `findings.json`, with the first images of each finding as
       thumbnails. Custom properties: `findings`, their number, and `label_errors`, the number of such labels.
    """

    SPEC_CLASS = LabelReviewerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        report: types.BaseChannel,
        model: ModelSettings,
        data: DataSettings,
        seed: int,
    ) -> None:
        """Construct a LabelReviewer component.

        Args:
            examples: Of type `standard_artifacts.Examples`: raw examples, with all splits.
            report: From ImageExampleGen, of type `IngestReport`: it has the names of the classes.
            model: The backbone, its weights and the image size. The content of a weights file is part of the cache key.
            data: `max_label_errors`, `allow`, and `max_pixels`, `max_side` and `background`, by which Transform reads
                images too.
            seed: Of the weights `none`.

        Raises:
            WeightsError: The weights file is missing.
        """
        own = sorted(entry for entry in data.allow if entry.partition(":")[0] in _OWN)
        of_model = flatten(model.model_copy(update={"weights": portable(model.weights)}), MODEL_PREFIX)
        super().__init__(
            spec=LabelReviewerSpec(
                **{name: value for name, value in of_model.items() if not name.startswith(_UNUSED)},
                **{SEED: seed if model.weights == "none" else 0},  # so that another seed does not run it again
                max_label_errors=data.max_label_errors,
                allow=json.dumps(own),
                # Empty unless something is allowed, so that the user name does not change the cache key.
                allowed_by=getpass.getuser() if own else "",
                **reading_properties(data),
                weights_digest=weights_digest(model),
                code_digest=code_digest("edgetune.components.label_reviewer.executor"),
                library_versions=library_versions(LIBRARIES),
                examples=examples,
                report=report,
                findings=Channel(type=DatasetFindings),
            )
        )

"""The settings of a run as one frozen, typed tree: each field with its default, unit, range and description.

Settings are declared only here. The YAML configuration (`pipeline.config.load`), its JSON schema
(`schemas/config.json`), the reference in the documentation and the typed execution properties of the components
(`flatten` and `unflatten`) are derived from this tree.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edgetune.modules.core.package_paths import portable
from edgetune.modules.settings.base import (
    Between,
    Contradiction,
    Fraction,
    Positive,
    Settings,
    filled,
    flatten,
    unflatten,
)
from edgetune.modules.settings.data import DataSettings, Splits
from edgetune.modules.settings.execution import BeamSettings, PlatformSettings, StateSettings
from edgetune.modules.settings.training import (
    PUBLISHED_HEAD,
    ActivationCacheSettings,
    AugmentationSettings,
    FineTuneSettings,
    HeadSettings,
    ModelSettings,
    PhaseSettings,
    Recipe,
    TrainingSettings,
    Unfreeze,
)

__all__ = [
    "ActivationCacheSettings",
    "AugmentationSettings",
    "BeamSettings",
    "CardSettings",
    "DataSettings",
    "EdgeSettings",
    "EvaluationSettings",
    "FineTuneSettings",
    "HeadSettings",
    "InfraSettings",
    "ModelSettings",
    "PhaseSettings",
    "PlatformSettings",
    "PushSettings",
    "Recipe",
    "RunSettings",
    "Settings",
    "Splits",
    "StateSettings",
    "TrainingSettings",
    "Unfreeze",
    "flatten",
    "unflatten",
]

FEWEST_FOLDS = 3
Variant = Literal["float32", "float16", "int8", "dynamic"]
InputRange = Literal["raw", "unit", "minus_one_one"]


class EvaluationSettings(Settings):
    """Requirements for blessing the SavedModel."""

    min_accuracy: Fraction = 0.8
    """Minimum accuracy on the test split."""
    gate_on: Literal["estimate", "lower_bound"] = "estimate"
    """What must reach the minimum accuracies: the measured `estimate`, or the `lower_bound` of its 95 % interval."""
    min_class_accuracy: Fraction | None = None
    """Minimum accuracy on the test images of each class (recall); null for none."""
    min_test_images: Positive = 30
    """Minimum number of test images; with fewer, no model is blessed."""
    min_test_images_per_class: Annotated[int, Field(ge=0)] = 3
    """Minimum number of test images of each class; with fewer, no model is blessed."""
    max_regression: Fraction = 0.005
    """Maximum loss of accuracy, on the images that both saw, against earlier blessed models, if it is significant."""
    compare_days: Annotated[int, Field(ge=0)] = 90
    """Age up to which blessed models are compared with, in days before the new one; the last one always is."""
    compare_models: Positive = 30
    """Maximum number of earlier blessed models to compare with; of more, some are left out evenly."""
    precision: Between = 0.95
    """Share of a class's answers that must be right at and above its threshold, which is chosen on `eval`."""
    folds: Annotated[int, Field(ge=0, le=20)] = 0
    """Parts, 3 to 20, of a cross-validation on all images, which can refuse a model and cannot bless one; 0: none."""
    saliency: Annotated[int, Field(ge=0, le=12)] = 6
    """Number of mistakes, 0 to 12, for which the report shows what the answer depends on; it takes at most 5 s."""

    @model_validator(mode="after")
    def _three_folds_or_none(self) -> EvaluationSettings:
        if 0 < self.folds < FEWEST_FOLDS:
            raise Contradiction(
                f"folds is {self.folds}, but a head needs three parts: to learn from, to stop by and to be judged on",
                f"set evaluation.folds to 0 or to {FEWEST_FOLDS} or more, such as 10",
            )
        return self


class EdgeSettings(Settings):
    """Which LiteRT models are made, and the requirements for blessing each."""

    variants: tuple[Variant, ...] = ("float32", "float16", "int8")
    """Variants to convert the model to."""
    required: tuple[Variant, ...] = ("float32",)
    """Variants that must be blessed; otherwise nothing is pushed."""
    max_accuracy_drop: Fraction = 0.01
    """Maximum loss of test accuracy compared with the SavedModel."""
    min_agreement: Fraction = 0.97
    """Minimum fraction of test images for which a variant and the SavedModel predict the same class."""
    max_class_drop: Fraction = 0.1
    """Maximum loss of accuracy on one class compared with the SavedModel, if it is significant or the whole class."""
    max_bytes: Positive | None = None
    """Maximum size of a variant's file, in bytes."""
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    """Maximum time of a variant for one image, in milliseconds: the median of 50 on the machine of the run, one thread,
    without reading and resizing; null for none."""
    input_range: InputRange = "raw"
    """Values that the float variants take for each channel's level, 0 to 255: raw, the level itself; unit, 0 to 1;
    minus_one_one, -1 to 1, for apps that cannot be changed. `int8` always takes the level."""
    representative_images: Positive = 100
    """Number of images of the train split that calibrate the quantization."""
    description: str = "Image classifier"
    """Purpose of the model, written into its metadata and the model card."""
    author: str = ""
    """Author of the model, written into its metadata and the model card."""
    license: str = ""
    """Licence of the model, written into its metadata and the model card."""

    @model_validator(mode="after")
    def _required_is_made(self) -> EdgeSettings:
        if missing := [v for v in self.required if v not in self.variants]:
            raise ValueError(f"required variants that are not in `variants`: {', '.join(missing)}")
        return self


class InfraSettings(Settings):
    """How the SavedModel is tried out before it is pushed, in a process of its own that loads it as a server does."""

    originals: Annotated[int, Field(ge=0)] = 32
    """Number of files of the test split whose answers must be those measured; 0: only images as ingest stored them."""
    max_seconds: Positive = 600
    """Maximum time from the start of the process to its end, in seconds."""
    max_memory_mb: Positive = 8192
    """Maximum memory of the process, in megabytes (2^20 bytes)."""


class PushSettings(Settings):
    """Where blessed models are pushed to."""

    saved_model: str | None = None
    """Folder of SavedModel versions; null for `<workdir>/pushed/<name>/saved_model`."""
    edge: str | None = None
    """Folder of edge bundle versions; null for `<workdir>/pushed/<name>/edge`."""
    sign_key: str | None = None
    """Private key that signs what is pushed: an unencrypted elliptic-curve key in a PEM file; null for no signature."""
    sign_tool: str = "model_signing"
    """Name or path of sigstore's model-signing command; it cannot be installed in the same environment as TFX."""

    @model_validator(mode="after")
    def _places_differ(self) -> PushSettings:
        if self.saved_model is not None and self.edge is not None and _same(self.saved_model, self.edge):
            raise Contradiction(
                f"saved_model and edge are the same folder, {self.edge}: a server would take a bundle for a model",
                "name a folder for each",
            )
        return self


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


class CardSettings(Settings):
    """What only the model's authors know, written into the model card of its edge bundle."""

    data: str = ""
    """What the images show; by whom, where and when they were taken; their licence."""
    intended_use: str = ""
    """What the model is for, who may use it, and what it must not be used for."""
    limits: str = ""
    """Known weaknesses, and whom they affect."""


class RunSettings(Settings):
    """Complete configuration of a run."""

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_-]*$")]
    """Name of the pipeline, and of its folders in the workdir."""
    data: DataSettings
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    edge: EdgeSettings = EdgeSettings()
    infra: InfraSettings = InfraSettings()
    push: PushSettings = PushSettings()
    card: CardSettings = CardSettings()
    beam: BeamSettings = BeamSettings()
    state: StateSettings = StateSettings()
    platform: PlatformSettings = PlatformSettings()

    @model_validator(mode="after")
    def _published_head(self) -> RunSettings:
        if self.training.recipe == "tutorial":
            object.__setattr__(self, "model", filled(self.model, {"head": PUBLISHED_HEAD}))
        return self

    @model_validator(mode="after")
    def _images_are_large_enough(self) -> RunSettings:
        if self.data.max_side is not None and self.data.max_side < self.model.image_size:
            raise Contradiction(
                f"data.max_side {self.data.max_side} is less than model.image_size {self.model.image_size}: "
                "images would be scaled down and up again",
                f"set data.max_side to {self.model.image_size} or more, or lower model.image_size",
            )
        return self


_WHERE_IT_RUNS = {"platform", "state"}


def tree_of(settings: RunSettings) -> dict[str, Any]:
    """Return all settings including defaults, except those that only determine where a run executes and stores data.

    Weights shipped with the code have their portable name, so that the tree is the same on every machine.
    """
    tree = settings.model_dump(mode="json", exclude=_WHERE_IT_RUNS)
    tree["model"]["weights"] = portable(settings.model.weights)
    return tree


def digest(tree: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a tree from `tree_of`, as 64 hexadecimal digits."""
    canonical = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def changed(tree: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a tree with new values for some settings, given by their dotted names."""
    copy: dict[str, Any] = json.loads(json.dumps(tree))
    for setting, value in values.items():
        *groups, name = setting.split(".")
        parent = copy
        for group in groups:
            parent = parent[group]
        parent[name] = value
    return copy

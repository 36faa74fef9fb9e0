"""The settings of a run as one frozen, typed tree: every field with its default, unit, range and one line of meaning.

This tree is the only place where a setting is declared. From it come the YAML configuration
(`pipeline.config.load`), its JSON schema (`schemas/config.json`), the reference in the documentation, and the typed
execution properties of the components (`flatten` and `unflatten`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from edgetune.modules.core.package_paths import portable
from edgetune.modules.settings.base import Fraction, Positive, Settings, flatten, unflatten
from edgetune.modules.settings.data import DataSettings, Splits
from edgetune.modules.settings.execution import BeamSettings, PlatformSettings, StateSettings
from edgetune.modules.settings.training import (
    ActivationCacheSettings,
    AugmentationSettings,
    FineTuneSettings,
    HeadSettings,
    ModelSettings,
    PhaseSettings,
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
    "ModelSettings",
    "PhaseSettings",
    "PlatformSettings",
    "PushSettings",
    "RunSettings",
    "Settings",
    "Splits",
    "StateSettings",
    "TrainingSettings",
    "Unfreeze",
    "flatten",
    "unflatten",
]

Variant = Literal["float32", "float16", "int8", "dynamic"]


class EvaluationSettings(Settings):
    """When the SavedModel is blessed."""

    min_accuracy: Fraction = 0.8
    """Lowest accuracy on the test split."""
    max_regression: Fraction = 0.001
    """Largest loss of accuracy against the last blessed model."""


class EdgeSettings(Settings):
    """Which LiteRT models are made, and when each is blessed."""

    variants: tuple[Variant, ...] = ("float32", "float16", "int8")
    """Variants to convert to."""
    required: tuple[Variant, ...] = ("float32",)
    """Variants without which nothing is pushed."""
    max_accuracy_drop: Fraction = 0.01
    """Largest loss of test accuracy against the SavedModel."""
    min_agreement: Fraction = 0.97
    """Lowest fraction of test images on which a variant and the SavedModel give the same class."""
    max_bytes: Positive | None = None
    """Largest size of a variant's file, in bytes."""
    representative_images: Positive = 100
    """Images of the train split that calibrate the quantization."""
    description: str = "Image classifier"
    """What the model is for, written into its metadata."""
    author: str = ""
    """Who made the model, written into its metadata."""
    license: str = ""
    """The model's licence, written into its metadata."""

    @model_validator(mode="after")
    def _required_is_made(self) -> EdgeSettings:
        if missing := [v for v in self.required if v not in self.variants]:
            raise ValueError(f"required variants that are not among `variants`: {', '.join(missing)}")
        return self


class PushSettings(Settings):
    """Where blessed models go."""

    saved_model: str | None = None
    """Folder of SavedModel versions; null for `<workdir>/pushed/<name>/saved_model`."""
    edge: str | None = None
    """Folder of edge bundle versions; null for `<workdir>/pushed/<name>/edge`."""
    sign_key: str | None = None
    """Private key that signs edge bundles: PEM file, on an elliptic curve, not encrypted; null for no signature."""
    sign_tool: str = "model_signing"
    """Command of sigstore's model-signing, by name or path; it cannot be installed beside TFX."""


class CardSettings(Settings):
    """What only people know of a model, written into the model card of its edge bundle."""

    data: str = ""
    """What the images show, who took them, where and when, and under which licence."""
    intended_use: str = ""
    """What the model is made for, by whom it may be used, and what it must not be used for."""
    limits: str = ""
    """Known weaknesses, and whom they affect."""


class RunSettings(Settings):
    """The whole configuration of a run."""

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_-]*$")]
    """Name of the pipeline, and of its folders in the workdir."""
    data: DataSettings
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    edge: EdgeSettings = EdgeSettings()
    push: PushSettings = PushSettings()
    card: CardSettings = CardSettings()
    beam: BeamSettings = BeamSettings()
    state: StateSettings = StateSettings()
    platform: PlatformSettings = PlatformSettings()

    @model_validator(mode="after")
    def _images_are_large_enough(self) -> RunSettings:
        if self.data.max_side is not None and self.data.max_side < self.model.image_size:
            raise ValueError(
                f"data.max_side {self.data.max_side} is less than model.image_size {self.model.image_size}: "
                "images would be made small and large again"
            )
        return self


_WHERE = {"platform", "state"}


def tree_of(settings: RunSettings) -> dict[str, Any]:
    """All settings, defaults included, but those that only say where a run takes place and keeps what it makes.

    Weights that come with the code are named as they are on every machine.
    """
    tree = settings.model_dump(mode="json", exclude=_WHERE)
    tree["model"]["weights"] = portable(settings.model.weights)
    return tree


def digest(tree: Mapping[str, Any]) -> str:
    """SHA-256 of what `tree_of` returns, as 64 hexadecimal digits."""
    canonical = json.dumps(tree, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def changed(tree: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a tree, with other values for some settings by their dotted names."""
    copy: dict[str, Any] = json.loads(json.dumps(tree))
    for setting, value in values.items():
        *groups, name = setting.split(".")
        at = copy
        for group in groups:
            at = at[group]
        at[name] = value
    return copy

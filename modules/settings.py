"""The settings of a run as one frozen, typed tree: every field with its default, unit, range and one line of meaning.

This tree is the only place where a setting is declared. From it come the YAML configuration
(`pipeline.config`), its JSON schema (`schemas/config.json`), the reference in the documentation, and the typed
execution properties of the components (`flatten` and `unflatten`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
Backbone = Literal["mobilenet", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"]
Variant = Literal["float32", "float16", "int8", "dynamic"]
Baseline = Literal["fixed_features", "from_scratch"]

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of every group: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Splits(Settings):
    """Relative sizes of the splits, used where the data does not bring its own."""

    train: Positive = 8
    """Share that is trained on."""
    eval: Positive = 1
    """Share that steers training: early stopping, learning rate, choice between the phases."""
    test: Positive = 1
    """Share that decides blessings and is never seen before."""


class DataSettings(Settings):
    """What is read, and when it is refused."""

    path: str
    """Folder `<class>/*` or `{train,eval,test}/<class>/*`, folder of TFRecords, or `embedded:digits`."""
    splits: Splits = Splits()
    """Relative sizes of the splits."""
    tfrecord_pattern: str = "*.tfrecord*"
    """Which files of a folder of TFRecords are read, as a glob pattern."""
    image_feature: str = "image"
    """Feature of a tf.Example in a TFRecord that holds the encoded image."""
    label_feature: str = "label"
    """Feature of a tf.Example in a TFRecord that holds the label, as bytes or as an integer."""
    max_rejected: Fraction = 0.05
    """Largest fraction of unreadable files; above it the run stops."""
    max_pixels: Positive = 89_478_485
    """Pixels of the largest image that is decoded (Pillow's own bound against decompression bombs)."""
    min_examples_per_class: Positive = 10
    """Images that every class needs, over all splits."""


class HeadSettings(Settings):
    """The classifier that is put on the backbone's pooled features."""

    units: tuple[Positive, ...] = (256, 128)
    """Units of each hidden layer, from the backbone outwards; empty for a linear classifier."""
    dropout: tuple[Annotated[float, Field(ge=0.0, lt=1.0)], ...] = (0.5, 0.3)
    """Dropout rate after each hidden layer; as many values as `units`."""
    l2: Annotated[float, Field(ge=0.0)] = 0.0
    """L2 penalty on the kernels of the head."""

    @model_validator(mode="after")
    def _one_rate_per_layer(self) -> HeadSettings:
        if len(self.dropout) != len(self.units):
            raise ValueError(f"{len(self.units)} hidden layers need {len(self.units)} rates, not {len(self.dropout)}")
        return self


class ModelSettings(Settings):
    """The network."""

    backbone: Backbone = "mobilenet_v2"
    """Architecture of the pretrained part."""
    weights: str = "imagenet"
    """`imagenet` (downloaded as Keras does), `none` (random), or a `.h5` or `.safetensors` file, relative to the
    configuration file."""
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """SHA-256 that the file of weights must have."""
    alpha: Annotated[float, Field(gt=0.0, le=2.0)] = 1.0
    """Width multiplier of the backbone."""
    image_size: Annotated[int, Field(ge=32, le=1024)] = 224
    """Height and width of the model's input, in pixels."""
    head: HeadSettings = HeadSettings()
    """The classifier on top."""


class PhaseSettings(Settings):
    """Phase 1: a new head on the frozen backbone."""

    epochs: Positive = 10
    """Passes over the train split, at most."""
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-3
    """Adam's learning rate at the start of the phase."""
    patience: Positive = 5
    """Epochs without a better loss on `eval` before the phase ends; the rate is halved at half of that."""


class Unfreeze(Settings):
    """Which part of the backbone is fine-tuned."""

    last: Positive = 40
    """Layers of the backbone to unfreeze, counted from its output and rounded down to whole blocks."""


class FineTuneSettings(Settings):
    """Phase 2: the top of the backbone and the head, at a tenth of the rate."""

    epochs: Annotated[int, Field(ge=0)] = 20
    """Passes over the train split, at most; 0 leaves the phase out."""
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-4
    """Adam's learning rate at the start of the phase."""
    patience: Positive = 5
    """Epochs without a better loss on `eval` before the phase ends; the rate is halved at half of that."""
    unfreeze: Unfreeze = Unfreeze()
    """Which part of the backbone is fine-tuned."""


class AugmentationSettings(Settings):
    """Random changes of the training images, made in the trainer and never in Transform."""

    flip_horizontal: bool = True
    """Mirror half of the images; false where left and right carry meaning."""
    brightness: Fraction = 0.1
    """Largest change of brightness, as a fraction of the full range."""
    translation: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Largest shift in each direction, as a fraction of the image's side."""


class TrainingSettings(Settings):
    """How the network is trained."""

    batch_size: Positive = 32
    """Images per step."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of the initial weights, of shuffling and of augmentation."""
    head: PhaseSettings = PhaseSettings()
    """Phase 1: a new head on the frozen backbone."""
    fine_tune: FineTuneSettings = FineTuneSettings()
    """Phase 2: the top of the backbone and the head."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """Random changes of the training images."""
    baselines: tuple[Baseline, ...] = ()
    """What the result is compared with in the report: `fixed_features` (phase 1 alone), `from_scratch`."""


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


class BeamSettings(Settings):
    """Where the data components run."""

    runner: Literal["direct"] = "direct"
    """`direct` is Beam's runner in this process."""


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
    beam: BeamSettings = BeamSettings()


def flatten(settings: Settings, prefix: str = "") -> dict[str, Any]:
    """Leaves of the tree by their dotted name with `_` for the dots: `{"head_units": [256, 128], ...}`.

    Returns:
        Only int, float, str, bool and lists of them, as execution properties can be; fields that are None are left out.
    """
    flat: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            flat.update(flatten(value, f"{prefix}{name}_"))
        elif value is not None:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat


def unflatten(cls: type[S], flat: dict[str, Any], prefix: str = "") -> S:
    """The settings that `flatten` took apart; keys of other settings in `flat` are left alone."""
    values: dict[str, Any] = {}
    for name, field in cls.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            values[name] = unflatten(field.annotation, flat, f"{prefix}{name}_")
        elif prefix + name in flat:
            values[name] = flat[prefix + name]
    return cls(**values)

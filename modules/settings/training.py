"""Settings of the network and its training: both phases, augmentation, loss, cache, baselines."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.base import Fraction, Positive, Settings

Baseline = Literal["fixed_features", "from_scratch"]
ClassWeights = Literal["none", "balanced"]
Distribution = Literal["none", "mirrored", "multi_worker", "tpu"]


class PhaseSettings(Settings):
    """Phase 1: a new head on the frozen backbone."""

    epochs: Positive = 10
    """Passes over the train split, at most."""
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-3
    """Adam's learning rate at the start of the phase."""
    patience: Positive = 5
    """Epochs on which neither the accuracy nor the loss on `eval` is better than ever before, until the phase ends; the
    rate is halved after half as many without a better loss."""


class Unfreeze(Settings):
    """Which part of the backbone is fine-tuned, always in whole blocks; one way of saying it."""

    last: Positive | None = None
    """Layers of the backbone to unfreeze, counted from its output and rounded down to whole blocks; null, where the
    others are null too, for the architecture's default (40 for `mobilenet_v2`)."""
    from_block: Annotated[str, Field(min_length=1)] | None = None
    """First block to unfreeze, such as `block_13`; the error for a wrong name lists all."""
    fraction: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Share of the backbone's layers to unfreeze, counted from its output and rounded down to whole blocks."""

    @model_validator(mode="after")
    def _one_way(self) -> Unfreeze:
        given = [name for name in ("last", "from_block", "fraction") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; give one of them")
        return self


class FineTuneSettings(Settings):
    """Phase 2: the top of the backbone and the head, at a tenth of the rate."""

    epochs: Annotated[int, Field(ge=0)] = 20
    """Passes over the train split, at most; 0 leaves the phase out."""
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] = 1e-4
    """Adam's learning rate at the start of the phase."""
    patience: Positive = 5
    """Epochs on which neither the accuracy nor the loss on `eval` is better than ever before, until the phase ends; the
    rate is halved after half as many without a better loss."""
    unfreeze: Unfreeze = Unfreeze()
    """Which part of the backbone is fine-tuned."""


class AugmentationSettings(Settings):
    """Random changes of the training images, made in the trainer and never in Transform."""

    flip_horizontal: bool = True
    """Mirror half of the images; false where left and right carry meaning."""
    flip_vertical: bool = False
    """Turn half of the images upside down, mirrored; for views from above, through a microscope and the like."""
    quarter_turns: bool = False
    """Turn each image by 0, 90, 180 or 270 degrees; for images without an up and a down."""
    rotation: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    """Largest turn in each direction, in degrees; the border is mirrored."""
    crop: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Smallest fraction of the area that a random crop keeps, enlarged to the full size again; 1 crops nothing. The
    crop's sides are in a ratio from 3:4 to 4:3."""
    translation: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Largest shift in each direction, as a fraction of the image's side."""
    brightness: Fraction = 0.1
    """Largest change of brightness, as a fraction of the full range."""
    contrast: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Largest change of contrast: 0.2 multiplies the distance from each channel's mean by 0.8 to 1.2."""
    saturation: Fraction = 0.0
    """Largest change of saturation: 0.2 multiplies it by 0.8 to 1.2; with 1, some images become grey."""
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Largest turn of the colour circle in each direction, as a fraction of the circle; 0.5 reaches every colour."""


class ActivationCacheSettings(Settings):
    """What the frozen part of the network gives is the same in every epoch, and computed once."""

    enabled: bool = True
    """False runs the whole network in every epoch, with other changes of each image every time."""
    views: Annotated[int, Field(ge=1, le=64)] = 4
    """Augmented views of each training image in the cache; an epoch takes one of them."""
    head_views: Annotated[int, Field(ge=1, le=64)] = 4
    """How many of them phase 1 trains on where phase 2 follows; fewer begin sooner, and the head learns less."""


class TrainingSettings(Settings):
    """How the network is trained."""

    batch_size: Positive = 32
    """Images per step, over all devices together."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of the initial weights, of shuffling and of augmentation."""
    head: PhaseSettings = PhaseSettings()
    """Phase 1: a new head on the frozen backbone."""
    fine_tune: FineTuneSettings = FineTuneSettings()
    """Phase 2: the top of the backbone and the head."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of each label's certainty that is spread evenly over all classes."""
    class_weights: ClassWeights = "none"
    """`none`, or `balanced`: an image weighs the more, the rarer its class is in the train split."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """Random changes of the training images."""
    mixed_precision: bool = False
    """Compute in bfloat16 while training: faster where the processor has instructions for it, as NVIDIA's GPUs have
    from compute capability 8.0 on. What is exported is float32."""
    activation_cache: ActivationCacheSettings = ActivationCacheSettings()
    """What the frozen part of the network gives is the same in every epoch, and computed once."""
    baselines: tuple[Baseline, ...] = ()
    """What the result is compared with in the report: `fixed_features` (phase 1 alone), `from_scratch`."""
    distribution: Distribution = "none"
    """What the images of each step are shared out to: `none` (one device), `mirrored` (all accelerators of the
    machine), `multi_worker` (several machines, as TF_CONFIG names them), `tpu`."""


# fmt: off
Backbone = Literal[
    "mobilenet", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "resnet50", "resnet101",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "efficientnet_b5",
    "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_b0", "efficientnet_v2_b1", "efficientnet_v2_b2",
    "efficientnet_v2_b3", "inception_v3",
]
# fmt: on


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
    """`imagenet` (downloaded as Keras does), `none` (random), a `.h5` or `.safetensors` file, the folder of a
    SavedModel (of TF Hub, or an earlier run's, to go on from it), or a handle `https://tfhub.dev/...` that is in TF
    Hub's cache; relative to the configuration file."""
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """SHA-256 that the weights must have: of the file, over all files of the folder, or for `imagenet` over the values.
    Where it is wrong, the error tells the one that was found."""
    alpha: Annotated[float, Field(gt=0.0, le=2.0)] = 1.0
    """Width multiplier of the backbone; only the MobileNets have one."""
    minimalistic: bool = False
    """The variant of MobileNetV3 without squeeze-and-excite, hard swish and 5x5 convolutions."""
    image_size: Annotated[
        int,
        Field(ge=32, le=1024, validate_default=True),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 32, "maximum": 1024}, {"type": "null"}]}),
    ] = None  # type: ignore[assignment]  # the validator below puts a number in its place
    """Height and width of the model's input, in pixels; null for the size that the architecture was pretrained at."""
    head: HeadSettings = HeadSettings()
    """The classifier on top."""

    @field_validator("image_size", mode="before")
    @classmethod
    def _own_size(cls, value: Any, info: ValidationInfo) -> Any:
        architecture = ARCHITECTURES.get(info.data.get("backbone", ""))  # absent where the name itself is wrong
        return value if value is not None else architecture.image_size if architecture else 224

    @model_validator(mode="after")
    def _only_what_the_architecture_has(self) -> ModelSettings:
        architecture = ARCHITECTURES[self.backbone]
        if self.alpha != 1.0 and not architecture.imagenet_alphas:
            raise ValueError(f"alpha is {self.alpha}, but {self.backbone} has no width multiplier: leave alpha out")
        if self.minimalistic and not architecture.weighted_layers_minimalistic:
            raise ValueError(f"{self.backbone} has no minimalistic variant; mobilenet_v3_small and _large have")
        return self

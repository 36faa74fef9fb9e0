"""Settings of the network and its training: both phases, augmentation, loss, cache, baselines."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.base import Between, Contradiction, Fraction, Positive, Settings, filled

Baseline = Literal["fixed_features", "from_scratch"]
ClassWeights = Literal["none", "balanced"]
Distribution = Literal["none", "mirrored", "multi_worker", "tpu"]
Recipe = Literal["auto", "tutorial"]
Rate = Annotated[float, Field(gt=0.0, le=1.0)]


class PhaseSettings(Settings):
    """Phase 1: trains a new head on the frozen backbone. What is set here is for hidden layers and for large data: a
    linear head of up to 32,768 images is solved as a logistic regression if `recipe` is `auto`."""

    epochs: Positive = 10
    """Maximum number of passes over the train split."""
    learning_rate: Rate = 1e-3
    """Adam's learning rate at the start of the phase."""
    patience: Positive = 5
    """The phase ends after this many epochs without a new best accuracy or loss on `eval`."""
    plateau_factor: Between = 0.5
    """The learning rate is multiplied by it on a plateau."""
    plateau_patience: Positive = 2
    """A plateau is this many epochs without a new best loss on `eval`."""


class Unfreeze(Settings):
    """Which part of the backbone is fine-tuned, in whole blocks; set at most one of these."""

    last: Positive | None = None
    """Layers of the backbone to unfreeze, counted from its output and rounded down to whole blocks; if all three are
    null, the architecture's default applies (40 for `mobilenet_v2`)."""
    from_block: Annotated[str, Field(min_length=1)] | None = None
    """First block to unfreeze, such as `block_13`; the error for a wrong name lists all blocks."""
    fraction: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Share of the backbone's layers to unfreeze, counted from its output and rounded down to whole blocks."""

    @model_validator(mode="after")
    def _one_way(self) -> Unfreeze:
        given = [name for name in ("last", "from_block", "fraction") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are set; set only one of them")
        return self


class FineTuneSettings(Settings):
    """Phase 2: trains the top of the backbone and the head."""

    epochs: Annotated[int, Field(ge=0)] = 10
    """Maximum number of passes over the train split; 0 skips the phase."""
    learning_rate: Rate = 3e-4
    """Adam's highest learning rate, at most that of phase 1: with `auto` it rises to it in the first tenth of the steps
    and then falls to 0 along a cosine; with `tutorial` it is the first one."""
    patience: Positive = 5
    """With the recipe `tutorial`, the phase ends after this many epochs without a new best loss on `eval`."""
    plateau_factor: Between = 0.5
    """With the recipe `tutorial`, the learning rate is multiplied by it on a plateau."""
    plateau_patience: Positive = 2
    """A plateau is this many epochs without a new best loss on `eval`."""
    unfreeze: Unfreeze = Unfreeze()
    """Which part of the backbone is fine-tuned."""


class AugmentationSettings(Settings):
    """Random changes of the training images, made in the trainer, not in Transform."""

    flip_horizontal: bool = True
    """Mirror half of the images; set to false if left and right carry meaning."""
    flip_vertical: bool = False
    """Flip half of the images vertically; for aerial views, microscope images and the like."""
    quarter_turns: bool = False
    """Rotate each image by 0, 90, 180 or 270 degrees; for images without a natural orientation."""
    rotation: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    """Maximum rotation in each direction, in degrees; the border is filled by mirroring."""
    crop: Annotated[float, Field(gt=0.0, le=1.0)] = 0.6
    """Minimum fraction of the area that a random crop keeps, scaled up to the full size again; 1 does not crop. The
    aspect ratio of the crop is between 3:4 and 4:3."""
    translation: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Maximum shift in each direction, as a fraction of the image's side."""
    brightness: Fraction = 0.1
    """Maximum change in brightness, as a fraction of the full range."""
    contrast: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Maximum change in contrast: 0.2 multiplies the distance from each channel's mean by 0.8 to 1.2."""
    saturation: Fraction = 0.0
    """Maximum change in saturation: 0.2 multiplies it by 0.8 to 1.2; with 1, some images become grey."""
    hue: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    """Maximum hue rotation in each direction, as a fraction of the colour circle; 0.5 reaches every hue."""


class ActivationCacheSettings(Settings):
    """Compute the output of the frozen part of the network once instead of in every epoch."""

    enabled: bool = True
    """Use the cache; false runs the whole network in every epoch, with new augmentations each time."""
    views: Annotated[int, Field(ge=1, le=64)] = 4
    """Augmented views of each training image in the cache; each epoch uses one of them."""
    head_views: Annotated[int, Field(ge=1, le=64)] = 4
    """Views that phase 1 trains on if phase 2 follows; with fewer, training starts sooner but the head learns less."""


PUBLISHED_TRAINING: dict[str, Any] = {
    "head": {"epochs": 10, "learning_rate": 1e-3, "patience": 3, "plateau_factor": 0.5, "plateau_patience": 2},
    "fine_tune": {
        "epochs": 20,
        "learning_rate": 1e-4,
        "patience": 5,
        "plateau_factor": 0.5,
        "plateau_patience": 2,
        "unfreeze": Unfreeze(last=40),
    },
    "augmentation": {"crop": 1.0},
}
PUBLISHED_HEAD: dict[str, Any] = {"units": (256, 128), "dropout": (0.5, 0.3)}
"""What `training.recipe: tutorial` means for settings that are not given."""


class TrainingSettings(Settings):
    """Training of the network."""

    recipe: Recipe = "auto"
    """`auto`: a logistic regression as the head, fine-tuning with a warm-up and a cosine, and the weights between those
    before and after it that are best on `eval`. `tutorial`: the method as it is published, for comparison; what is not
    set is then a head of 256 and 128 units with dropout 0.5 and 0.3, Adam with 0.001 for 10 epochs and 0.0001 for 20 on
    the last 40 layers, patience 3 and 5 on the loss on `eval`, and no crops."""
    batch_size: Positive = 32
    """Images per step, summed over all devices."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    """Seed of the initial weights, of shuffling and of augmentation."""
    head: PhaseSettings = PhaseSettings()
    """Phase 1: trains a new head on the frozen backbone."""
    fine_tune: FineTuneSettings = FineTuneSettings()
    """Phase 2: trains the top of the backbone and the head."""
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Share of each label's probability that is spread evenly over all classes."""
    class_weights: ClassWeights = "none"
    """`none`, or `balanced`: the rarer an image's class in the train split, the larger its weight in the loss."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """Random changes of the training images."""
    mixed_precision: bool = False
    """Train in bfloat16: faster on hardware that supports it, such as NVIDIA GPUs from compute capability 8.0 on. The
    exported model is float32."""
    activation_cache: ActivationCacheSettings = ActivationCacheSettings()
    """Compute the output of the frozen part of the network once instead of in every epoch."""
    calibrate: bool = True
    """Scale the logits by a temperature fitted on `eval`, so that probabilities are closer to frequencies; the class
    that the model names stays the same."""
    baselines: tuple[Baseline, ...] = ()
    """Baselines to compare the result with in the report: `fixed_features` (phase 1 only), `from_scratch` (random
    initial weights, trained for as long as both phases took)."""
    distribution: Distribution = "none"
    """Devices that share the images of each step: `none` (one device), `mirrored` (all accelerators of the machine),
    `multi_worker` (the machines named in TF_CONFIG), `tpu`."""

    @model_validator(mode="after")
    def _published(self) -> TrainingSettings:
        if self.recipe == "tutorial":
            published = filled(self, PUBLISHED_TRAINING)
            for name in PUBLISHED_TRAINING:
                object.__setattr__(self, name, getattr(published, name))
        return self

    @model_validator(mode="after")
    def _fine_tuning_is_not_faster(self) -> TrainingSettings:
        head, fine_tune = self.head.learning_rate, self.fine_tune.learning_rate
        if self.fine_tune.epochs and fine_tune > head:
            raise Contradiction(
                f"fine_tune.learning_rate is {fine_tune}, above head.learning_rate, {head}: "
                "fine-tuning would destroy what pretraining learned",
                f"set training.fine_tune.learning_rate to {head} or less; a tenth of it is usual",
            )
        return self


# fmt: off
Backbone = Literal[
    "mobilenet", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "resnet50", "resnet101",
    "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "efficientnet_b5",
    "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_b0", "efficientnet_v2_b1", "efficientnet_v2_b2",
    "efficientnet_v2_b3", "inception_v3",
]
# fmt: on


class HeadSettings(Settings):
    """The classifier on top of the backbone's pooled features."""

    units: tuple[Positive, ...] = ()
    """Units of each hidden layer, from the backbone to the output; empty for a linear classifier."""
    dropout: tuple[Annotated[float, Field(ge=0.0, lt=1.0)], ...] = ()
    """Dropout rate after each hidden layer; as many values as `units`."""
    l2: Annotated[float, Field(ge=0.0)] = 0.0
    """L2 penalty on the kernels of the head; 0 for a logistic regression that chooses its own on `eval`."""

    @model_validator(mode="after")
    def _one_rate_per_layer(self) -> HeadSettings:
        if len(self.dropout) != len(self.units):
            raise ValueError(f"{len(self.units)} hidden layers need {len(self.units)} rates, not {len(self.dropout)}")
        return self


class ModelSettings(Settings):
    """The network."""

    backbone: Backbone = "mobilenet_v2"
    """Architecture of the pretrained part; `edgetune suggest` chooses one by measurement."""
    weights: str = "imagenet"
    """`imagenet` (downloaded by Keras), `none` (random), a `.h5` or `.safetensors` file, a SavedModel folder (from TF
    Hub, or from an earlier run to continue from), or a handle `https://tfhub.dev/...` that is in TF Hub's cache. Paths
    are relative to the configuration file."""
    weights_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """Required SHA-256 of the weights: of the file, over all files of the folder, or for `imagenet` over the values. If
    it is wrong, the error contains the actual one."""
    alpha: Annotated[float, Field(gt=0.0, le=2.0)] = 1.0
    """Width multiplier of the backbone; only the MobileNets have one."""
    minimalistic: bool = False
    """Use the variant of MobileNetV3 without squeeze-and-excite, hard swish and 5x5 convolutions."""
    image_size: Annotated[
        int,
        Field(ge=32, le=1024, validate_default=True),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 32, "maximum": 1024}, {"type": "null"}]}),
    ] = None  # type: ignore[assignment]  # the validator below replaces it by a number
    """Height and width of the model's input, in pixels; null for the size that the architecture was pretrained with."""
    head: HeadSettings = HeadSettings()
    """The classifier on top."""

    @field_validator("backbone", mode="before")
    @classmethod
    def _chosen_before_a_run(cls, value: Any) -> Any:
        if value == "auto":
            raise Contradiction(
                "a run does not choose its backbone: its graph, its cache and its image size depend on it",
                "`edgetune suggest --data DIR` chooses one by measurement, and prints the command of a run with it",
            )
        return value

    @field_validator("image_size", mode="before")
    @classmethod
    def _own_size(cls, value: Any, info: ValidationInfo) -> Any:
        architecture = ARCHITECTURES.get(info.data.get("backbone", ""))  # missing if the name itself is wrong
        return value if value is not None else architecture.image_size if architecture else 224

    @model_validator(mode="after")
    def _only_what_the_architecture_has(self) -> ModelSettings:
        architecture = ARCHITECTURES[self.backbone]
        if self.alpha != 1.0 and not architecture.imagenet_alphas:
            raise ValueError(f"alpha is {self.alpha}, but {self.backbone} has no width multiplier: leave alpha out")
        if self.minimalistic and not architecture.weighted_layers_minimalistic:
            raise ValueError(f"{self.backbone} has no minimalistic variant; only mobilenet_v3_small and _large do")
        if self.image_size < architecture.min_image_size:
            raise Contradiction(
                f"image_size {self.image_size} is too small for {self.backbone}",
                f"set model.image_size to {architecture.min_image_size} or more, or to null for the default, "
                f"{architecture.image_size}",
            )
        return self

    @model_validator(mode="after")
    def _weights_that_exist(self) -> ModelSettings:
        if self.weights == "none" and self.weights_sha256 is not None:
            raise Contradiction(
                "weights_sha256 is set, but weights is `none`: random weights have no digest",
                "--set model.weights_sha256=null, or set model.weights to the weights",
            )
        alphas = (1.0,) if self.minimalistic else ARCHITECTURES[self.backbone].imagenet_alphas
        if self.weights == "imagenet" and alphas and self.alpha not in alphas:
            variant = f"{'minimalistic ' if self.minimalistic else ''}{self.backbone}"
            raise Contradiction(
                f"alpha is {self.alpha}, but there are no ImageNet weights of {variant} for it",
                f"set model.alpha to one of {', '.join(map(str, alphas))}, or model.weights to `none` or to a file",
            )
        return self

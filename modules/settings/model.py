"""The settings of the network: backbone, weights, head."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, WithJsonSchema, field_validator, model_validator

from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.base import Positive, Settings

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

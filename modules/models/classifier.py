"""The classifier: a backbone, its features pooled, and a new head."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from edgetune.modules.models.blocks import build_backbone
from edgetune.modules.settings.run import HeadSettings, ModelSettings

# Keras's 0.99 and 0.999 are for ImageNet's many steps. In the few of a small dataset, moving statistics would still be
# those that the layer began with, and what was learned would look like nothing on eval.
_MOMENTUM = 0.9


@dataclass(frozen=True)
class Classifier:
    """A model and the part of it that pretraining made."""

    model: keras.Model
    """Input `image`, float32 `[N, S, S, 3]` in 0..255; output `probabilities`, float32 `[N, C]`."""
    backbone: keras.Model
    """Input as the model's, output the last feature map."""
    head: keras.Model
    """Input pooled features, float32 `[N, c]`; output as the model's."""


def build_classifier(
    settings: ModelSettings, classes: int, seed: int, *, pretrained: bool = True, backbone_in_training: bool = False
) -> Classifier:
    """Builds the network that `settings` describe.

    Args:
        settings: Backbone, weights, image size, head.
        classes: Number of classes, C.
        seed: Of the head's initial weights and of dropout; and of the backbone's without pretraining.
        pretrained: False for a backbone of random weights.
        backbone_in_training: True lets batch normalisation use and learn the statistics of the batch, which only a
            backbone needs that learns from random weights. False keeps it in inference mode in every phase.

    Raises:
        ConfigError: The architecture refuses the settings.
        WeightsError: The weights cannot be had, or do not fit.
    """
    keras.utils.set_random_seed(seed)
    backbone = build_backbone(settings, pretrained=pretrained)
    if backbone_in_training:
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = _MOMENTUM
    image = keras.Input((settings.image_size, settings.image_size, 3), dtype="float32", name="image")
    features = backbone(image, training=None if backbone_in_training else False)
    head = _head(backbone.output_shape[-1], settings.head, classes)
    return Classifier(keras.Model(image, head(pool(features)), name="classifier"), backbone, head)


def pool(features: keras.KerasTensor) -> keras.KerasTensor:
    """The mean over height and width: `[N, h, w, c]` to `[N, c]`."""
    return keras.layers.GlobalAveragePooling2D()(features)


def _head(width: int, settings: HeadSettings, classes: int) -> keras.Model:
    penalty = keras.regularizers.L2(settings.l2) if settings.l2 else None
    pooled = features = keras.Input((width,), name="pooled")
    for number, (units, rate) in enumerate(zip(settings.units, settings.dropout, strict=True), start=1):
        dense = keras.layers.Dense(units, activation="relu", kernel_regularizer=penalty, name=f"head_{number}")
        features = keras.layers.Dropout(rate, name=f"head_{number}_dropout")(dense(features))
    # float32 also where the layers before compute in less: small probabilities would be rounded to nothing.
    probabilities = keras.layers.Dense(
        classes, activation="softmax", kernel_regularizer=penalty, dtype="float32", name="probabilities"
    )(features)
    return keras.Model(pooled, probabilities, name="head")

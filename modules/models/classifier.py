"""Build the classifier: a backbone, pooling and a new head."""

from __future__ import annotations

from dataclasses import dataclass

import keras

from edgetune.modules.models.blocks import build_backbone
from edgetune.modules.settings.run import HeadSettings, ModelSettings

# Keras's 0.99 and 0.999 are for ImageNet's many steps. In the few steps of a small dataset, the moving statistics would
# stay near their initial values, and a trained model would look untrained on eval.
_MOMENTUM = 0.9


@dataclass(frozen=True)
class Classifier:
    """A classifier and its two parts."""

    model: keras.Model
    """Input: `image`, float32 `[N, S, S, 3]` in 0..255. Output: `probabilities`, float32 `[N, C]`."""
    backbone: keras.Model
    """Input: the same as the model's. Output: the last feature map."""
    head: keras.Model
    """Input: pooled features, float32 `[N, c]`. Output: the same as the model's."""


def build_classifier(
    settings: ModelSettings, classes: int, seed: int, *, pretrained: bool = True, backbone_in_training: bool = False
) -> Classifier:
    """Build the network that `settings` describe.

    Args:
        settings: Backbone, weights, image size, head.
        classes: Number of classes, C.
        seed: Seed of dropout and the head's initial weights, and of the backbone's if it is not pretrained.
        pretrained: False for a backbone with random weights.
        backbone_in_training: Whether batch normalisation uses and updates batch statistics and dropout is active, which
            only a backbone that is trained from random weights needs. If False, the backbone is in inference mode in
            every phase as long as its batch normalisation is not trainable, which `unfreeze` leaves so.

    Raises:
        ConfigError: The architecture does not support the settings.
        WeightsError: The weights are unavailable or do not match the architecture.
    """
    keras.utils.set_random_seed(seed)
    backbone = build_backbone(settings, pretrained=pretrained)
    if backbone_in_training:
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = _MOMENTUM
    else:
        stop_dropout(backbone)
    image = keras.Input((settings.image_size, settings.image_size, 3), dtype="float32", name="image")
    features = backbone(image)
    head = build_head(backbone.output_shape[-1], settings.head, classes)
    return Classifier(keras.Model(image, head(pool(features)), name="classifier"), backbone, head)


def stop_dropout(backbone: keras.Model) -> None:
    """Make the dropout layers of a backbone pass on their input, in training too.

    Calling the backbone with `training=False` does not do it: since Keras 3, `fit` overrides that argument in every
    layer of a functional model. EfficientNet drops whole branches (Huang et al., "Deep Networks with Stochastic Depth",
    2016), which a cache of activations cannot; so a training with it and one without would train different networks.
    """
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0


def pool(features: keras.KerasTensor) -> keras.KerasTensor:
    """Average over height and width: `[N, h, w, c]` to `[N, c]`."""
    return keras.layers.GlobalAveragePooling2D()(features)


def build_head(width: int, settings: HeadSettings, classes: int) -> keras.Model:
    """Build the head alone, with random weights: pooled features, float32 `[N, width]`, to probabilities."""
    penalty = keras.regularizers.L2(settings.l2) if settings.l2 else None
    pooled = features = keras.Input((width,), name="pooled")
    for number, (units, rate) in enumerate(zip(settings.units, settings.dropout, strict=True), start=1):
        dense = keras.layers.Dense(units, activation="relu", kernel_regularizer=penalty, name=f"head_{number}")
        features = keras.layers.Dropout(rate, name=f"head_{number}_dropout")(dense(features))
    # float32 even with mixed precision, where small probabilities would be rounded to zero.
    probabilities = keras.layers.Dense(
        classes, activation="softmax", kernel_regularizer=penalty, dtype="float32", name="probabilities"
    )(features)
    return keras.Model(pooled, probabilities, name="head")

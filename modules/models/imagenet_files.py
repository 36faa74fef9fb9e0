"""Names of the files that Keras keeps its ImageNet weights in, so that they are found without a download.

The names are those of `keras.applications`, which computes them where it downloads a file, and nowhere tells them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.run import ModelSettings

_SIZES = {"mobilenet": (128, 160, 192, 224), "mobilenet_v2": (96, 128, 160, 192, 224)}
"""Image sizes, in pixels, that Keras has weights of their own for; at any other size it takes those of 224."""
_OF_ALPHA = {1.0: "1_0", 0.75: "7_5", 0.5: "5_0", 0.25: "2_5"}
"""How the first MobileNet's files name its width multiplier."""
_PLAIN = {
    "resnet50": "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "resnet101": "resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "inception_v3": "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
}


def keras_folder() -> Path:
    """Return the folder that Keras keeps weights in, which need not exist."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def file_name(model: ModelSettings) -> str:
    """Return the name of the file of ImageNet weights, without the classifier, that Keras takes for a network.

    Args:
        model: `backbone`, `alpha`, `minimalistic` and `image_size` are used; there are ImageNet weights of it.
    """
    name = model.backbone
    size = model.image_size if model.image_size in _SIZES.get(name, ()) else 224
    if name == "mobilenet":
        return f"mobilenet_{_OF_ALPHA[model.alpha]}_{size}_tf_no_top.h5"
    if name == "mobilenet_v2":
        return f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(model.alpha)}_{size}_no_top.h5"
    if name.startswith("mobilenet_v3"):
        kind = f"{name.rpartition('_')[2]}{'_minimalistic' if model.minimalistic else ''}"
        return f"weights_mobilenet_v3_{kind}_224_{float(model.alpha)}_float_no_top_v2.h5"
    if name.startswith("efficientnet_v2_"):
        return f"efficientnetv2-{name.rpartition('_')[2]}_notop.h5"
    if name.startswith("efficientnet_"):
        return f"efficientnet{name.rpartition('_')[2]}_notop.h5"
    return _PLAIN[name]


def imagenet_models() -> Iterator[ModelSettings]:
    """Yield every network that Keras has ImageNet weights for, the widest first, and each at its largest size first."""
    for name, architecture in ARCHITECTURES.items():
        kinds = [(alpha, False) for alpha in reversed(architecture.imagenet_alphas or (1.0,))]
        kinds += [(1.0, True)] if architecture.weighted_layers_minimalistic else []
        for alpha, minimalistic in kinds:
            for size in reversed(_SIZES.get(name, (architecture.image_size,))):
                yield ModelSettings.model_validate(
                    {"backbone": name, "alpha": alpha, "minimalistic": minimalistic, "image_size": size}
                )

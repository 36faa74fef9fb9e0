"""Every architecture has the same normalisation and features as Keras's own, and matches its table entry."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.models.backbone import NORMALISATION, assemble
from edgetune.modules.models.weight_formats import weighted_layers
from edgetune.modules.settings.architectures import ARCHITECTURES, IMAGENET_DEVIATION, IMAGENET_MEAN
from edgetune.modules.settings.run import ModelSettings
from tests.tiny.built_backbones import NAMES, PARAMETERS, built, settings_of

# Published sizes of the networks, from the papers (1704.04861, 1801.04381, 1905.02244, 1512.03385, 1905.11946,
# 2104.00298, 1512.00567) and https://keras.io/api/applications.
IMAGE_SIZES = {
    **dict.fromkeys(("mobilenet", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"), 224),
    **dict.fromkeys(("resnet50", "resnet101"), 224),
    **{f"efficientnet_b{i}": size for i, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))},
    **{f"efficientnet_v2_b{i}": size for i, size in enumerate((224, 240, 260, 300))},
    "inception_v3": 299,
}


def original(variant: str, monkeypatch: pytest.MonkeyPatch) -> keras.Model:
    """Keras's network with its own normalisation, as built by `weights="imagenet"`, without downloading."""
    name, _, minimalistic = variant.partition(" ")
    number = name.rpartition("_")[2].upper()
    size = settings_of(variant).image_size
    arguments = {"include_top": False, "input_shape": (size, size, 3)}
    applications = keras.applications
    if name.startswith("efficientnet_v2"):
        return getattr(applications, f"EfficientNetV2{number}")(weights=None, **arguments)
    if name.startswith("efficientnet"):
        # Keras divides once more, but only with ImageNet weights: https://github.com/tensorflow/tensorflow/issues/49930
        module = importlib.import_module("keras.src.applications.efficientnet")
        monkeypatch.setattr(module.file_utils, "get_file", lambda *_, **__: "absent.h5")
        monkeypatch.setattr(keras.Model, "load_weights", lambda *_, **__: None)
        model = getattr(applications, f"EfficientNet{number}")(weights="imagenet", **arguments)
        layer = next(x for x in model.layers if isinstance(x, keras.layers.Normalization))
        # As in Keras's weights files: the standard deviation in place of the variance (same issue).
        layer.set_weights([np.asarray(IMAGENET_MEAN), np.asarray(IMAGENET_DEVIATION), np.asarray(0)])
        layer.finalize_state()
        return model
    builders = {"mobilenet": "MobileNet", "mobilenet_v2": "MobileNetV2", "inception_v3": "InceptionV3"}
    builders |= {"mobilenet_v3_small": "MobileNetV3Small", "mobilenet_v3_large": "MobileNetV3Large"}
    builders |= {"resnet50": "ResNet50", "resnet101": "ResNet101"}
    if "v3_" in name:
        arguments["minimalistic"] = bool(minimalistic)
    return getattr(applications, builders[name])(weights=None, **arguments)


def preprocess_input(name: str, images: np.ndarray) -> np.ndarray:
    module = re.sub(r"_(small|large|b\d)$", "", name.replace("resnet101", "resnet").replace("resnet50", "resnet"))
    return getattr(keras.applications, module).preprocess_input(images.copy())


def built_in(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the images after the normalisation layers at the start of Keras's network."""
    found = images
    for layer in model.layers[1:]:
        if not isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)):
            break
        found = layer(found)
    return np.asarray(found)


def pixels(size: int, count: int = 2) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, size, size, 3)).astype(np.float32)


def test_every_backbone_in_the_settings_has_an_entry_and_its_pretraining_image_size():
    assert set(ARCHITECTURES) == set(NAMES) == set(IMAGE_SIZES)
    for name in NAMES:
        assert ModelSettings(backbone=name).image_size == IMAGE_SIZES[name]
        assert ModelSettings(backbone=name, image_size=None).image_size == IMAGE_SIZES[name]
        assert ModelSettings(backbone=name, image_size=100).image_size == 100


@pytest.mark.parametrize("variant", PARAMETERS)
def test_normalisation_and_features_match_keras(variant, monkeypatch):
    backbone, images = built(variant), pixels(settings_of(variant).image_size)
    keras_own = original(variant, monkeypatch)

    normalised = np.asarray(backbone.get_layer(NORMALISATION)(images))
    expected = built_in(keras_own, preprocess_input(backbone.name, images))
    assert normalised.dtype == np.float32 and float(np.std(expected)) > 0.1
    # Steps of float32 at the largest value: Keras rounds after each of its layers, we once or twice.
    np.testing.assert_allclose(normalised, expected, rtol=0, atol=8 * np.spacing(np.float32(np.abs(expected).max())))

    learned = [layer for layer in weighted_layers(keras_own) if not isinstance(layer, keras.layers.Normalization)]
    for target, source in zip(learned, weighted_layers(backbone), strict=True):
        target.set_weights(source.get_weights())
    features = np.asarray(keras_own(preprocess_input(backbone.name, images), training=False))
    found = np.asarray(backbone(images, training=False))
    assert float(np.std(features)) > 0
    np.testing.assert_allclose(found, features, rtol=1e-3, atol=1e-4 * float(np.abs(features).max()))


@pytest.mark.parametrize("name", ["resnet50", "inception_v3", "mobilenet"])
def test_normalisation_of_every_pixel_value_matches_preprocess_input(name):
    every_value = np.arange(256, dtype=np.float32).repeat(3).reshape(1, 16, 16, 3)
    found, expected = built(name).get_layer(NORMALISATION)(every_value), preprocess_input(name, every_value)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2 * np.spacing(np.float32(np.abs(expected).max())))


@pytest.mark.parametrize("variant", PARAMETERS)
def test_the_model_is_flat_has_one_normalisation_and_matches_its_table_entry(variant):
    backbone, size = built(variant), settings_of(variant).image_size
    facts = ARCHITECTURES[backbone.name]
    assert backbone.input_shape == (None, size, size, 3) and backbone.output_shape[-1] == facts.features
    assert not [layer for layer in backbone.layers if isinstance(layer, keras.Model)]
    scaling = (keras.layers.Rescaling, keras.layers.Normalization)
    assert [x.name for x in backbone.layers if isinstance(x, scaling) or x.name == NORMALISATION] == [NORMALISATION]
    assert backbone.layers[1].name == NORMALISATION
    expected = facts.weighted_layers_minimalistic if "minimalistic" in variant else facts.weighted_layers
    assert len(weighted_layers(backbone)) == expected


def test_an_image_size_that_the_architecture_does_not_support_is_refused():
    with pytest.raises(ValidationError, match="image_size 74 is too small for inception_v3"):
        ModelSettings(backbone="inception_v3", image_size=74)
    settings = ModelSettings().model_copy(update={"image_size": 16})  # below the minimum of the settings themselves
    with pytest.raises(ConfigError, match="model.image_size 16"):
        assemble(settings)


def test_an_alpha_that_leaves_no_filters_is_refused():
    with pytest.raises(ConfigError, match="model.alpha 0.01"):
        assemble(ModelSettings(backbone="mobilenet", weights="none", alpha=0.01, image_size=32))


@pytest.mark.parametrize("name", [name for name in NAMES if ARCHITECTURES[name].imagenet_alphas])
def test_imagenet_weights_are_refused_for_an_alpha_that_keras_does_not_have(name):
    with pytest.raises(ValidationError, match="alpha is 0.6, but there are no ImageNet weights"):
        ModelSettings(backbone=name, alpha=0.6)
    assert ModelSettings(backbone=name, alpha=0.6, weights="none").alpha == 0.6


def test_minimalistic_imagenet_weights_exist_only_for_alpha_1():
    with pytest.raises(ValidationError, match="minimalistic mobilenet_v3_large"):
        ModelSettings(backbone="mobilenet_v3_large", alpha=0.75, minimalistic=True)


@pytest.mark.parametrize("name", NAMES)
def test_alpha_and_minimalistic_are_refused_if_the_architecture_does_not_have_them(name):
    facts = ARCHITECTURES[name]
    for changes, allowed in (({"alpha": 0.5}, facts.imagenet_alphas), ({"minimalistic": True}, "v3_" in name)):
        if allowed:
            ModelSettings(backbone=name, weights="none", **changes)
        else:
            with pytest.raises(ValidationError, match=f"{name} has no"):
                ModelSettings(backbone=name, **changes)


def test_settings_are_checked_without_importing_keras():
    code = "import sys, edgetune.modules.settings.run; sys.exit('keras' in sys.modules or 'tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

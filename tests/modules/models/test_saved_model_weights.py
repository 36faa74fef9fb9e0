"""Weights from SavedModels of edgetune, Keras 2 and 3 and TF Hub, without executing anything in them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.core.errors import WeightsError
from edgetune.modules.models import blocks
from edgetune.modules.models.backbone import assemble
from edgetune.modules.models.blocks import build_backbone
from edgetune.modules.models.classifier import build_classifier
from edgetune.modules.models.weight_formats import weighted_layers
from edgetune.modules.models.weights import load_weights, weights_digest
from edgetune.modules.serving import export
from edgetune.modules.settings.run import ModelSettings
from edgetune.modules.storage.digests import folder_digest
from tests.tiny import transform as tiny_transform
from tests.tiny.random_backbones import spare

SIZE = tiny_transform.SIZE
HANDLE = "https://tfhub.dev/google/imagenet/mobilenet_v2_035_128/feature_vector/5"


def settings(weights: object = "none", **changes: Any) -> ModelSettings:
    values: dict[str, Any] = {"alpha": 0.35, "image_size": SIZE, "weights": str(weights), **changes}
    return ModelSettings(**values)


def with_values(model: keras.Model) -> keras.Model:
    """Return the model with random weights, all different."""
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in model.get_weights()])
    return model


def assert_same(found: keras.Model, expected: keras.Model) -> None:
    for layer, original in zip(weighted_layers(found), weighted_layers(expected), strict=True):
        for value, other in zip(layer.get_weights(), original.get_weights(), strict=True):
            np.testing.assert_array_equal(value, other, err_msg=layer.name)


def refused(model: ModelSettings) -> WeightsError:
    """Return the error from loading, which must leave the backbone unchanged."""
    backbone = spare(model)
    before = backbone.get_weights()
    with pytest.raises(WeightsError) as caught:
        load_weights(backbone, model)
    for old, new in zip(before, backbone.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert caught.value.remedy
    return caught.value


@pytest.fixture(autouse=True)
def _spare_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "assemble", spare)


@pytest.fixture(scope="module")
def source() -> keras.Model:
    return with_values(assemble(settings()))


def slim_names(model: keras.Model) -> dict[str, np.ndarray]:
    """Return the weights of MobileNetV2 by TF-Slim's names."""
    named = {}
    for layer in weighted_layers(model):
        name = layer.name
        normalises = isinstance(layer, keras.layers.BatchNormalization)
        plain = name.replace("bn_", "").removesuffix("_BN").removesuffix("_bn")
        if plain in ("Conv1", "Conv_1"):
            scope = {"Conv1": "Conv", "Conv_1": "Conv_1"}[plain]
        else:
            block, _, part = plain.rpartition("_")
            scope = f"{block.replace('block', 'expanded_conv')}/{part}"
        kernel = "depthwise_weights" if "depthwise" in name else "weights"
        for variable, value in zip(layer.weights, layer.get_weights(), strict=True):
            inner = f"BatchNorm/{variable.name}" if normalises else kernel
            named[f"MobilenetV2/{scope}/{inner}"] = value
    return named


def write_hub(model: keras.Model, folder: Path) -> None:
    root = tf.Module()
    values = sorted(slim_names(model).items(), key=lambda item: hashlib.md5(item[0].encode()).digest())
    root.variables_list = [tf.Variable(value, name=name) for name, value in values]  # not in the order of the network
    tf.saved_model.save(root, str(folder))


@pytest.fixture(scope="module")
def own(source: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a SavedModel of edgetune."""
    path = tmp_path_factory.mktemp("own") / "1767225600"
    transform, _ = tiny_transform.transformed()
    classifier = build_classifier(settings(), len(export.transform_labels(transform)), seed=1)
    classifier.backbone.set_weights(source.get_weights())
    export.export_saved_model(classifier.model, transform, SIZE, str(path))
    return path


@pytest.fixture(scope="module")
def hub(source: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a SavedModel as TF Hub has them."""
    path = tmp_path_factory.mktemp("hub") / "1"
    write_hub(source, path)
    return path


@pytest.fixture(
    scope="module", params=["edgetune", "artifact", pytest.param("keras 3 export", marks=pytest.mark.large), "hub"]
)
def folder(request: pytest.FixtureRequest, source: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "1767225600"
    if request.param == "keras 3 export":
        source.export(path)
    elif request.param == "hub":
        shutil.copytree(request.getfixturevalue("hub"), path)
    else:
        inside = path / "Format-Serving" if request.param == "artifact" else path
        shutil.copytree(request.getfixturevalue("own"), inside)
    return path


def test_every_kind_of_folder_restores_every_weight(folder, source):
    assert_same(build_backbone(settings(folder)), source)


def test_the_pin_is_compared_with_the_digest_of_the_saved_model(folder):
    inside = folder / "Format-Serving" if (folder / "Format-Serving").exists() else folder
    digest = folder_digest(str(inside))
    assert weights_digest(settings(folder)) == digest
    build_backbone(settings(folder, weights_sha256=digest))
    error = refused(settings(folder, weights_sha256="0" * 64))
    assert digest in error.cause and "SHA-256" in error.cause


def test_a_folder_of_another_width_or_architecture_is_refused(folder):
    # Another architecture lacks some names; if weights have an order, their shapes differ.
    assert str(folder) in refused(settings(folder, alpha=0.5)).cause
    other = refused(settings(folder, backbone="mobilenet", alpha=0.25)).cause
    assert "mobilenet_v2" in other or "can be identified as" in other


def test_the_graph_in_a_folder_is_never_loaded(folder, source, monkeypatch):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a foreign graph was loaded")

    monkeypatch.setattr(tf.saved_model, "load", never)
    monkeypatch.setattr(keras.models, "load_model", never)
    assert_same(build_backbone(settings(folder)), source)


def test_the_variables_alone_are_enough(folder, source, tmp_path):
    inside = folder / "Format-Serving" if (folder / "Format-Serving").exists() else folder
    shutil.copytree(inside / "variables", tmp_path / "only" / "variables")
    assert_same(build_backbone(settings(tmp_path / "only")), source)


@pytest.mark.parametrize("keep", [0, 0.5])
def test_damaged_variables_are_refused(folder, tmp_path, keep):
    inside = folder / "Format-Serving" if (folder / "Format-Serving").exists() else folder
    for name in ("variables.index", "variables.data-00000-of-00001"):
        copied = tmp_path / name
        shutil.copytree(inside / "variables", copied / "variables")
        content = (copied / "variables" / name).read_bytes()
        (copied / "variables" / name).write_bytes(content[: int(len(content) * keep)])
        assert str(copied) in refused(settings(copied)).cause


@pytest.mark.parametrize("name", ["mobilenet", pytest.param("inception_v3", marks=pytest.mark.large)])
def test_a_saved_model_of_keras_2_restores_every_weight(name, tmp_path):
    tf_keras = pytest.importorskip("tf_keras")
    size, builder = 75, {"mobilenet": "MobileNet", "inception_v3": "InceptionV3"}[name]
    alpha = {"alpha": 0.25} if name == "mobilenet" else {}
    old = getattr(tf_keras.applications, builder)(include_top=False, weights=None, input_shape=(size, size, 3), **alpha)
    source = with_values(assemble(ModelSettings(backbone=name, image_size=size, weights="none", **alpha)))
    old.set_weights(source.get_weights())
    checkpoint = tf.train.Checkpoint(**{f"layer_with_weights-{i}": x for i, x in enumerate(_weighted(old))})
    checkpoint.write(str(tmp_path / "variables" / "variables"))
    assert_same(build_backbone(ModelSettings(backbone=name, image_size=size, weights=str(tmp_path), **alpha)), source)


def _weighted(model: Any) -> list[Any]:
    """Layers as numbered in a SavedModel of Keras 2; saving one takes a minute, only its variables a second."""
    return [layer for layer in model.layers if layer.weights]


def test_weights_with_meaningless_names_are_refused(source, tmp_path):
    numbers = [tf.Variable(value, name="v") for value in source.get_weights()]
    tf.train.Checkpoint(numbers=numbers).write(str(tmp_path / "nameless" / "variables" / "variables"))
    error = refused(settings(tmp_path / "nameless"))
    assert "can be identified as" in error.cause and "safetensors" in error.cause


def test_the_error_for_a_folder_of_versions_lists_them(folder):
    error = refused(settings(folder.parent))
    assert "not a SavedModel" in error.cause and folder.name in error.remedy


def test_a_folder_that_is_not_a_saved_model_is_refused(tmp_path):
    for action in (lambda: refused(settings(tmp_path)), lambda: weights_digest(settings(tmp_path))):
        try:
            error = action()
        except WeightsError as raised:
            error = raised
        assert "variables.index" in error.cause


def test_a_tf_hub_handle_is_found_in_the_cache(source, hub, tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    shutil.copytree(hub, tmp_path / hashlib.sha1(HANDLE.encode()).hexdigest())
    assert_same(build_backbone(settings(HANDLE)), source)
    assert_same(build_backbone(settings(f"{HANDLE}?tf-hub-format=compressed")), source)


def test_the_error_for_a_handle_that_is_not_cached_names_the_remedies(tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    error = refused(settings(HANDLE))
    assert str(tmp_path) in error.cause and HANDLE in error.cause
    for way in ("?tf-hub-format=compressed", "TFHUB_CACHE_DIR", "model.weights"):
        assert way in error.remedy

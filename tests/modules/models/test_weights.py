"""Weights from every source, and every way in which a file can be wrong."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import pickle
import re
import shutil
import urllib.error
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import safetensors.numpy

from edgetune.modules.core import bounds
from edgetune.modules.core.errors import WeightsError
from edgetune.modules.models import blocks
from edgetune.modules.models.backbone import assemble
from edgetune.modules.models.blocks import build_backbone
from edgetune.modules.models.weight_formats import weighted_layers
from edgetune.modules.models.weights import load_weights, save_safetensors, weights_digest
from edgetune.modules.settings.architectures import ARCHITECTURES, IMAGENET_DEVIATION, IMAGENET_MEAN
from edgetune.modules.settings.run import ModelSettings
from tests.helpers import crafted_parquet
from tests.helpers.photographs import real_data
from tests.tiny.built_backbones import built
from tests.tiny.random_backbones import spare

SIZE = 32
V2_1 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
REAL = (
    ("mobilenet", 0.25, "mobilenet_2_5_224_tf_no_top.h5"),
    ("mobilenet_v2", 0.35, "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"),
    ("mobilenet_v2", 1.0, V2_1),
    ("mobilenet_v3_small", 1.0, "mobilenet_v3_small_224_1.0_int8deq_no_top.h5"),
)


def settings(weights: object = "none", **changes: Any) -> ModelSettings:
    values: dict[str, Any] = {"alpha": 0.35, "image_size": SIZE, "weights": str(weights), **changes}
    return ModelSettings(**values)


def write_legacy(model: keras.Model, path: Path, root: str = "") -> None:
    """Write weights like Keras 2 did, with a different name for every layer."""
    with h5py.File(path, "w") as file:
        group = file.require_group(root) if root else file
        group.attrs["layer_names"] = [f"old_{layer.name}".encode() for layer in model.layers]
        for layer in model.layers:
            names = [f"old_{layer.name}/{i}:0" for i in range(len(layer.weights))]
            entry = group.create_group(f"old_{layer.name}")
            entry.attrs["weight_names"] = [name.encode() for name in names]
            for name, value in zip(names, layer.get_weights(), strict=True):
                entry[name] = value


@pytest.fixture(autouse=True)
def _spare_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "assemble", spare)


@pytest.fixture(scope="module")
def source() -> keras.Model:
    """Return a backbone whose weights all differ from those of a new one."""
    model = assemble(settings())
    rng = np.random.default_rng(1)
    model.set_weights([rng.standard_normal(w.shape).astype(np.float32) for w in model.get_weights()])
    return model


@pytest.fixture(params=["legacy.h5", "whole_model.h5", "keras3.weights.h5", "ours.safetensors"])
def file(request: pytest.FixtureRequest, source: keras.Model, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    if request.param == "keras3.weights.h5":
        source.save_weights(path)
    elif request.param == "ours.safetensors":
        save_safetensors(source, path)
    else:
        write_legacy(source, path, root="model_weights" if path.stem == "whole_model" else "")
    return path


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


def test_every_format_restores_every_weight(file, source):
    found = build_backbone(settings(file))
    for layer, original in zip(weighted_layers(found), weighted_layers(source), strict=True):
        for value, expected in zip(layer.get_weights(), original.get_weights(), strict=True):
            np.testing.assert_array_equal(value, expected, err_msg=layer.name)


def test_the_file_is_not_read_without_pretraining(tmp_path):
    absent = tmp_path / "absent.safetensors"
    random = build_backbone(settings(absent), pretrained=False)
    assert random.count_params() > 0 and not absent.exists()


def test_the_pin_is_the_digest_of_the_file(file):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert weights_digest(settings(file)) == digest
    build_backbone(settings(file, weights_sha256=digest))
    assert [weights_digest(settings(name)) for name in ("none", "imagenet")] == ["none", "imagenet"]


def test_an_altered_file_is_refused_before_it_is_parsed(file):
    pin = hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_bytes(b"\x80 neither HDF5 nor safetensors")
    assert "SHA-256" in refused(settings(file, weights_sha256=pin)).cause


@pytest.mark.parametrize("keep", [0, 100, 0.5, -1])
def test_a_truncated_file_is_refused(file, keep):
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * keep) if isinstance(keep, float) else keep])
    assert str(file) in refused(settings(file)).cause


def test_a_missing_file_is_refused(tmp_path):
    for action in (build_backbone, weights_digest):
        with pytest.raises(WeightsError, match="does not exist"):
            action(settings(tmp_path / "absent.h5"))


def test_a_folder_and_an_unknown_ending_are_refused(tmp_path):
    (tmp_path / "folder.h5").mkdir()
    assert "a folder, not a file" in refused(settings(tmp_path / "folder.h5")).cause
    assert "not a supported source" in refused(settings(tmp_path / "model.pkl")).cause


def test_the_error_for_another_alpha_names_the_layer_and_both_shapes(file):
    # Up to the expansion in block 1, both widths round to the same number of channels.
    cause = refused(settings(file, alpha=0.5)).cause
    assert "alpha 0.5: the layer block_1_project expects 1x1x48x16, but the file has 1x1x48x8" in cause


def test_the_error_for_another_architecture_names_the_numbers_of_layers(file):
    cause = refused(settings(file, backbone="mobilenet", alpha=0.25)).cause
    assert "104 layers" in cause and "mobilenet with alpha 0.25 has 54" in cause
    assert cause.endswith("it is of another architecture, by its layers mobilenet_v2")


@pytest.mark.parametrize(
    ("stored", "asked", "words"),
    [
        pytest.param(
            *("efficientnet_b1", "efficientnet_b2", "by its layers it is efficientnet_b1 or efficientnet_v2_b1"),
            marks=pytest.mark.large,
        ),
        pytest.param("resnet50", "resnet101", "by its layers resnet50", marks=pytest.mark.large),
        pytest.param("inception_v3", "mobilenet_v3_small", "by its layers inception_v3", marks=pytest.mark.large),
        ("mobilenet_v3_small minimalistic", "mobilenet_v3_small", "by its layers mobilenet_v3_small minimalistic"),
    ],
)
def test_the_error_names_the_architecture_of_the_file(stored, asked, words, tmp_path):
    path = tmp_path / "other.safetensors"
    save_safetensors(built(stored), path)
    size = ARCHITECTURES[asked].min_image_size
    cause = refused(ModelSettings(backbone=asked, weights=str(path), image_size=size)).cause
    assert cause.endswith(words)


def test_the_error_names_a_classifier_in_the_file(tmp_path):
    backbone = built("mobilenet_v3_small")
    logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(backbone.output))
    path = tmp_path / "whole.h5"
    write_legacy(keras.Model(backbone.input, logits), path)
    asked = ModelSettings(backbone="mobilenet_v3_small", weights=str(path), image_size=32)
    assert "has a classifier" in refused(asked).cause
    cause = refused(settings(path)).cause
    assert cause.endswith("and has a classifier, by its layers mobilenet_v3_small")


_FAMILIES = ("resnet50", "efficientnet_b0", "efficientnet_v2_b0", "inception_v3")
_ENDINGS = ("safetensors", "weights.h5", "h5")
# The endings are tested with MobileNetV2 above, and this family has the most kinds of layers.
_ONCE = ("efficientnet_b0", "weights.h5")
_REST = [pair for pair in itertools.product(_FAMILIES, _ENDINGS) if pair != _ONCE]


@pytest.mark.parametrize(("name", "ending"), [_ONCE, *(pytest.param(*pair, marks=pytest.mark.large) for pair in _REST)])
def test_every_family_can_be_written_and_read(name, ending, tmp_path):
    source, path = built(name), tmp_path / f"file.{ending}"
    if ending == "safetensors":
        save_safetensors(source, path)
    elif ending == "h5":
        write_legacy(source, path)
    else:
        source.save_weights(path)
    size = ARCHITECTURES[name].min_image_size
    found = build_backbone(ModelSettings(backbone=name, weights=str(path), image_size=size))
    for one, other in zip(found.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def keras_efficientnet() -> keras.Model:
    return keras.applications.EfficientNetB0(include_top=False, weights=None, input_shape=(32, 32, 3))


@pytest.mark.parametrize("ending", ["weights.h5", "h5"])
@pytest.mark.parametrize("variance", [IMAGENET_DEVIATION, tuple(x**2 for x in IMAGENET_DEVIATION), (1.0, 1.0, 1.0)])
def test_the_normalisation_in_keras_efficientnets_is_checked_and_left_out(
    keras_efficientnet, ending, variance, tmp_path
):
    own = keras_efficientnet
    layer = next(x for x in own.layers if isinstance(x, keras.layers.Normalization))
    layer.set_weights([np.asarray(IMAGENET_MEAN), np.asarray(variance), np.asarray(0)])
    path = tmp_path / f"own.{ending}"
    if ending == "h5":
        write_legacy(own, path)
    else:
        own.save_weights(path)
    asked = ModelSettings(backbone="efficientnet_b0", weights=str(path), image_size=32)
    if variance == (1.0, 1.0, 1.0):
        assert "normalised" in refused(asked).cause
        return
    found = build_backbone(asked).get_weights()
    for one, other in zip(found, own.get_weights()[3:], strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_extra_or_missing_tensor_is_refused(source, tmp_path):
    path = tmp_path / "changed.safetensors"
    save_safetensors(source, path)
    tensors = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file({**tensors, "head/kernel": np.zeros((2, 2), np.float32)}, path)
    assert "105 layers" in refused(settings(path)).cause
    safetensors.numpy.save_file({k: v for k, v in tensors.items() if k != "bn_Conv1/beta"}, path)
    assert "bn_Conv1 lacks beta" in refused(settings(path)).cause


@pytest.mark.parametrize(("value", "words"), [(np.nan, "not finite"), (None, "int8")])
def test_non_finite_and_integer_values_are_refused(source, tmp_path, value, words):
    path = tmp_path / "values.safetensors"
    save_safetensors(source, path)
    tensors = safetensors.numpy.load_file(path)
    kernel = tensors["Conv_1/kernel"].copy()
    if value is None:
        kernel = kernel.astype(np.int8)
    else:
        kernel[0, 0, 0, 0] = value
    safetensors.numpy.save_file({**tensors, "Conv_1/kernel": kernel}, path)
    cause = refused(settings(path)).cause
    assert words in cause and "Conv_1" in cause


def with_code(path: Path, ran: Path) -> Path:
    """Save a model whose layer makes the file `ran` when it is loaded."""
    code = f"lambda x: (__import__('pathlib').Path({str(ran)!r}).touch(), x)[1]"
    network = keras.Sequential([keras.Input((4,)), keras.layers.Lambda(eval(code)), keras.layers.Dense(2)])
    network.save(path)
    ran.unlink()
    return path


def test_code_in_a_whole_model_is_not_run(tmp_path):
    """Keras runs it if it is told to, as old versions did without being asked."""
    ran = tmp_path / "ran"
    whole, legacy = with_code(tmp_path / "model.keras", ran), with_code(tmp_path / "model.h5", ran)
    assert "is not a supported source" in refused(settings(whole)).cause
    assert "has 1 layers with weights" in refused(settings(legacy)).cause
    with h5py.File(legacy) as file:
        assert "Lambda" in file.attrs["model_config"]
    assert not ran.exists()
    keras.saving.load_model(whole, safe_mode=False)
    assert ran.exists()


@pytest.mark.parametrize("ending", ["pkl", "npz", "npy", "joblib", "pt", "ckpt", "h5", "weights.h5", "safetensors"])
def test_code_in_a_pickle_is_not_run_whatever_the_ending(tmp_path, ending):
    path = tmp_path / f"weights.{ending}"
    path.write_bytes(pickle.dumps(crafted_parquet.Runs(f"touch {tmp_path}/ran")))
    assert "is not a" in refused(settings(path)).cause
    assert not (tmp_path / "ran").exists()
    pickle.loads(path.read_bytes())
    assert (tmp_path / "ran").exists()


def test_weights_that_are_a_pipe_or_too_large_are_refused_without_blocking(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.h5")
    (tmp_path / "large.h5").write_bytes(bytes(101))
    monkeypatch.setattr(bounds, "MAX_WEIGHTS", 100)
    assert refused(settings(tmp_path / "pipe.h5")).cause.endswith("pipe.h5: a named pipe, not a file")
    assert refused(settings(tmp_path / "large.h5")).cause.endswith(
        "large.h5: larger than the 100 bytes that a file of weights can have"
    )


def test_an_h5_file_whose_chunk_unpacks_to_more_than_its_dataset_is_refused(source, tmp_path):
    path = tmp_path / "bomb.h5"
    write_legacy(source, path)
    with h5py.File(path, "r+") as file:
        name = "old_Conv1/old_Conv1/0:0"
        shape = file[name].shape
        del file[name]
        chunk = (*shape[:3], bounds.MAX_CHUNK)
        file.create_dataset(name, shape, "f4", maxshape=(*shape[:3], None), chunks=chunk, compression="gzip")
    cause = refused(settings(path)).cause
    assert f"has {math.prod(shape) * 4} bytes in a chunk of {math.prod(chunk) * 4}" in cause


def test_an_h5_file_that_takes_values_from_another_file_is_refused(source, tmp_path):
    path, other = tmp_path / "linked.h5", tmp_path / "other.bin"
    other.write_bytes(b"\0" * 4096)
    write_legacy(source, path)
    with h5py.File(path, "r+") as file:
        name = "old_Conv1/old_Conv1/0:0"
        shape = file[name].shape
        del file[name]
        file.create_dataset(name, shape, np.float32, external=[(str(other), 0, h5py.h5f.UNLIMITED)])
    assert "another file" in refused(settings(path)).cause
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = h5py.ExternalLink(str(other), "/x")
    assert "old_Conv1" in refused(settings(path)).cause


def test_an_h5_file_of_something_else_is_refused(tmp_path):
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["table"] = np.zeros(3)
    assert "not a file of Keras weights" in refused(settings(tmp_path / "table.h5")).cause


def test_saving_the_same_weights_gives_the_same_bytes(source, tmp_path):
    digests = {save_safetensors(source, tmp_path / name) for name in ("a.safetensors", "b.safetensors")}
    assert digests == {hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()}


@pytest.fixture
def keras_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keras's cache folder, empty, on a machine without a network."""

    def no_network(*_: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", no_network)
    (tmp_path / "models").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        *("mobilenet_v2", "mobilenet_v3_small"),
        *(pytest.param(name, marks=pytest.mark.large) for name in ("mobilenet", "mobilenet_v3_large", "resnet50")),
        *(pytest.param(name, marks=pytest.mark.large) for name in ("efficientnet_b0", "inception_v3")),
        pytest.param("efficientnet_v2_b0", marks=pytest.mark.large),
    ],
)
def test_the_error_for_imagenet_without_a_network_names_both_remedies(keras_home, name):
    error = refused(settings("imagenet", backbone=name, alpha=1.0, image_size=96))
    assert "network" in error.cause
    assert str(keras_home / "models") in error.remedy and "model.weights" in error.remedy
    assert re.search(r"put \S+no_?top\S*\.h5 into", error.remedy)


def test_a_damaged_file_in_keras_cache_is_reported(keras_home):
    (keras_home / "models" / V2_1).write_bytes(b"cut off")
    error = refused(settings("imagenet", alpha=1.0, image_size=224))
    assert "cannot be read" in error.cause and "delete" in error.remedy


def test_imagenet_weights_can_be_pinned(keras_home, source, tmp_path):
    """The digest is that of the file that `save_safetensors` would write, because Keras finds its file itself."""
    (keras_home / "models" / V2_1.replace("1.0_224", "0.35_128")).write_bytes(b"")
    path = keras_home / "models" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"
    write_legacy(source, path)
    digest = save_safetensors(source, tmp_path / "same.safetensors")
    build_backbone(settings("imagenet", image_size=224, weights_sha256=digest))
    assert digest in refused(settings("imagenet", image_size=224, weights_sha256="0" * 64)).cause


def test_imagenet_comes_out_of_keras_own_cache(keras_home, source):
    path = keras_home / "models" / V2_1.replace("1.0_224", "0.35_224")
    write_legacy(source, path)
    cached = build_backbone(settings("imagenet", image_size=224)).get_weights()
    for one, other in zip(cached, build_backbone(settings(path)).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(cached, source.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("name", "alpha"), [("mobilenet", 0.25), ("mobilenet_v2", 0.35), ("mobilenet_v3_small", 1.0)])
def test_files_in_the_form_of_keras_applications_give_keras_own_features(tmp_path, name, alpha):
    model = {"backbone": name, "alpha": alpha, "image_size": SIZE}
    path = tmp_path / "saved.h5"
    write_legacy(spare(settings(**model)), path)
    assert_keras_own_features(path, **model)


@pytest.mark.large
def test_the_real_imagenet_weights_come_out_of_keras_own_cache(keras_home):
    path = real_data("weights", V2_1)
    shutil.copy(path, keras_home / "models")
    cached = build_backbone(settings("imagenet", alpha=1.0, image_size=224)).get_weights()
    direct = build_backbone(settings(path, alpha=1.0)).get_weights()
    for one, other in zip(cached, direct, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.large
@pytest.mark.parametrize(("name", "alpha", "file_name"), REAL)
def test_files_of_keras_applications_give_keras_own_features(name, alpha, file_name):
    assert_keras_own_features(real_data("weights", file_name), backbone=name, alpha=alpha, image_size=96)


def assert_keras_own_features(path: Path, image_size: int, **model: Any) -> None:
    found = build_backbone(settings(path, image_size=image_size, **model))
    expected = assemble(settings(image_size=image_size, **model))
    expected.load_weights(path)
    image = np.random.default_rng(1).integers(0, 256, (1, image_size, image_size, 3)).astype(np.float32)
    np.testing.assert_array_equal(found(image, training=False), expected(image, training=False))

"""Which backbones are tried, and the reason for each that is not; without Keras."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.suggest.backbones import Wanted, find, name_of

V2_128 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_128_no_top.h5"
V2_224 = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
RESNET = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"


@pytest.fixture(autouse=True)
def keras_home(monkeypatch, tmp_path: Path) -> Path:
    """Return Keras's folder of weights, which is empty."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    folder = tmp_path / "keras" / "models"
    folder.mkdir(parents=True)
    return folder


def settings(**model: object) -> RunSettings:
    return RunSettings.model_validate({"name": "birds", "data": {"path": "birds"}, "model": model})


def found(wanted: Wanted, **model: object) -> list[tuple[str, str]]:
    """Return the name and the weights of each backbone to try."""
    return [(name_of(one), one.weights) for one in find(settings(**model), wanted)[0]]


def test_without_weights_every_architecture_is_listed_with_the_file_that_it_lacks(keras_home):
    models, missing = find(settings(), Wanted())
    assert models == []
    reasons = {one.name: one.reason for one in missing}
    assert {name.split()[0] for name in reasons} == set(ARCHITECTURES)
    assert reasons["resnet50"] == f"no {RESNET} in {keras_home}"
    assert reasons["mobilenet 1, 0.75, 0.5, 0.25"] == f"no mobilenet_1_0_224_tf_no_top.h5 and 3 more in {keras_home}"


def test_files_of_keras_are_found_in_its_folder_and_where_the_user_says(keras_home, tmp_path):
    (keras_home / V2_128).touch()
    (keras_home / RESNET).touch()
    given = tmp_path / "mine" / V2_224
    given.parent.mkdir()
    given.touch()
    tried = [
        ("mobilenet_v2 1 at 224", str(given)),
        ("mobilenet_v2 0.35 at 128", "imagenet"),
        ("resnet50 at 224", "imagenet"),
    ]
    for place in (given, given.parent):
        assert found(Wanted(weights=(place,))) == tried
    assert found(Wanted(weights=(given,), backbones=("mobilenet_v2",))) == tried[:2]
    _, missing = find(settings(), Wanted(weights=(given,), backbones=("mobilenet_v2",)))
    assert [one.name for one in missing] == ["mobilenet_v2 1.4, 1.3, 0.75, 0.5"]


def test_configured_weights_come_first_and_a_network_is_tried_once(keras_home, tmp_path):
    (keras_home / V2_224).touch()
    own = str(tmp_path / "own.safetensors")
    assert found(Wanted(), weights=own) == [("mobilenet_v2 1 at 224", own)]
    assert found(Wanted(), weights=own, image_size=96) == [
        ("mobilenet_v2 1 at 96", own),
        ("mobilenet_v2 1 at 224", "imagenet"),
    ]
    assert found(Wanted(), weights="none") == [("mobilenet_v2 1 at 224", "imagenet")]


def test_all_have_the_configured_head(keras_home):
    (keras_home / RESNET).touch()
    [model], _ = find(settings(head={"units": [8], "dropout": [0.1]}), Wanted())
    assert model.head.units == (8,)


def test_at_another_size_the_file_that_is_here_is_taken_and_not_the_one_that_keras_would_download(keras_home):
    (keras_home / V2_224).touch()
    (keras_home / RESNET).touch()
    assert found(Wanted(image_sizes=(128, 224))) == [
        ("mobilenet_v2 1 at 128", str(keras_home / V2_224)),
        ("mobilenet_v2 1 at 224", "imagenet"),
        ("resnet50 at 128", "imagenet"),
        ("resnet50 at 224", "imagenet"),
    ]


def test_sizes_that_a_network_or_the_data_does_not_have_are_listed(keras_home):
    (keras_home / "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5").touch()
    models, missing = find(settings(), Wanted(backbones=("inception_v3",), image_sizes=(64, 1024, 299)))
    assert [name_of(model) for model in models] == ["inception_v3 at 299"]
    assert [(one.name, one.reason) for one in missing] == [
        ("inception_v3 at 64", "it needs images of at least 75 pixels"),
        ("inception_v3 at 1024", "its images are larger than data.max_side, 640"),
    ]


def test_only_a_download_that_was_asked_for_makes_the_others_available():
    models, missing = find(settings(), Wanted(download=True))
    assert {model.backbone for model in models} == set(ARCHITECTURES) and missing == []
    assert {model.image_size == ARCHITECTURES[model.backbone].image_size for model in models} == {True}
    assert "mobilenet_v2 0.35 at 224" in [name_of(model) for model in models]


@pytest.mark.parametrize(
    ("name", "said"), [("none", "is not a file of weights"), ("empty", "has no file of weights"), ("a.txt", "is not")]
)
def test_a_place_without_weights_is_an_error(tmp_path, name, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").touch()
    with pytest.raises(ConfigError, match=said) as caught:
        find(settings(), Wanted(weights=(tmp_path / name,)))
    assert ".safetensors" in caught.value.remedy

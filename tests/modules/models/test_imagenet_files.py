"""Where the ImageNet weights of Keras are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetune.modules.models import backbone
from edgetune.modules.models.identify import identify
from edgetune.modules.models.imagenet_files import file_name, imagenet_models, keras_folder
from edgetune.modules.models.weights import save_safetensors
from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.run import ModelSettings

MODELS = [
    {"backbone": "mobilenet", "alpha": 0.25, "image_size": 128},
    {"backbone": "mobilenet_v2", "alpha": 0.35, "image_size": 96},
    {"backbone": "mobilenet_v3_small", "minimalistic": True, "image_size": 64},
]
LARGE = [
    *({"backbone": "mobilenet", "alpha": alpha, "image_size": 64} for alpha in (0.5, 0.75, 1.0)),
    {"backbone": "mobilenet_v2", "alpha": 1.0, "image_size": 64},
    *({"backbone": name} for name in ARCHITECTURES if name not in ("mobilenet", "mobilenet_v2")),
]


class Asked(Exception):
    """Raised instead of a download, with the name of the file."""


@pytest.mark.parametrize("given", [*MODELS, *(pytest.param(one, marks=pytest.mark.large) for one in LARGE)], ids=str)
def test_the_name_is_the_one_that_keras_asks_for(monkeypatch, given):
    from keras.src.utils import file_utils

    def get_file(name: str, *_: object, **__: object) -> str:
        raise Asked(name)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    model = ModelSettings(**given)
    with pytest.raises(Asked) as asked:
        backbone.assemble(model, weights="imagenet")
    assert str(asked.value) == file_name(model)


def test_every_architecture_has_models_and_each_file_has_one_name():
    models = list(imagenet_models())
    assert {model.backbone for model in models} == set(ARCHITECTURES)
    assert len({file_name(model) for model in models}) == len(models)
    assert {model.weights for model in models} == {"imagenet"}


def test_the_folder_is_that_of_keras(monkeypatch):
    monkeypatch.setenv("KERAS_HOME", "somewhere")
    assert keras_folder() == Path("somewhere/models")
    monkeypatch.delenv("KERAS_HOME")
    assert keras_folder() == Path.home() / ".keras" / "models"


def test_a_file_of_any_name_is_of_the_network_that_it_can_be_loaded_into(tmp_path):
    path = str(tmp_path / "any.safetensors")
    save_safetensors(backbone.assemble(ModelSettings(backbone="mobilenet", alpha=0.5, weights="none")), path)
    found = identify(path)
    assert (found.backbone, found.alpha, found.weights, found.image_size) == ("mobilenet", 0.5, path, 224)

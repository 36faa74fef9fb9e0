"""What is found out about the network before anything is trained."""

from __future__ import annotations

import pytest

from edgetune.modules.core.errors import ConfigError, WeightsError
from edgetune.modules.models.backbone import assemble
from edgetune.modules.models.weights import save_safetensors
from edgetune.modules.settings.run import ModelSettings, TrainingSettings
from edgetune.pipeline.preflight import training as preflight
from edgetune.pipeline.preflight.training import check_network


def model(**changes: object) -> ModelSettings:
    return ModelSettings(**{"alpha": 0.35, "image_size": 32, "weights": "none", **changes})


def training(epochs: int = 1, last: int = 40) -> TrainingSettings:
    return TrainingSettings(fine_tune={"epochs": epochs, "unfreeze": {"last": last}})


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "v2.safetensors"
    save_safetensors(assemble(model()), path)
    return str(path)


def test_settings_that_fit_pass(weights):
    check_network(model(weights=weights), training())


def test_weights_of_another_architecture_are_refused(weights):
    with pytest.raises(WeightsError, match="of another architecture"):
        check_network(model(weights=weights, backbone="mobilenet", alpha=0.25), training())


def test_weights_that_are_not_the_pinned_ones_are_refused(weights):
    with pytest.raises(WeightsError, match="SHA-256"):
        check_network(model(weights=weights, weights_sha256="0" * 64), training())


def test_a_width_that_cannot_be_built_is_refused():
    with pytest.raises(ConfigError, match=r"model.alpha 0.001"):
        check_network(model(alpha=0.001, backbone="mobilenet"), training())


@pytest.mark.parametrize(
    ("unfreeze", "words"),
    [({"from_block": "block_99"}, "has no such block"), ({"fraction": 0.001}, "unfreeze.fraction is 0.001")],
)
def test_the_other_ways_of_unfreezing_are_checked_too(unfreeze, words):
    with pytest.raises(ConfigError, match=words):
        check_network(model(), TrainingSettings(fine_tune={"epochs": 1, "unfreeze": unfreeze}))


@pytest.mark.parametrize("last", [1, 1000])
def test_a_cut_that_does_not_exist_is_refused_only_where_there_is_a_second_phase(monkeypatch, last):
    backbone = assemble(model())
    monkeypatch.setattr(preflight, "assemble", lambda settings: backbone)
    with pytest.raises(ConfigError, match=f"unfreeze.last is {last}"):
        check_network(model(), training(last=last))
    check_network(model(), training(epochs=0, last=last))

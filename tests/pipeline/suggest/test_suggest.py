"""`edgetune suggest` from images to the pick, with a backbone of two blocks."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import pytest

from edgetune.modules.models.backbone import assemble
from edgetune.modules.models.weights import save_safetensors
from edgetune.modules.settings.run import ModelSettings
from edgetune.pipeline import cli
from tests.tiny import backbone, model


@pytest.fixture
def arguments(monkeypatch, tmp_path: Path) -> list[str]:
    """Return the command for images of three colours, and weights that tell them apart at one of two sizes."""
    backbone.use(monkeypatch)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for label in model.LABELS:
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(12):
            pixels = model.image(label, 1000 * model.LABELS.index(label) + number, size=40)
            (tmp_path / "data" / label / f"{number}.png").write_bytes(model.png(pixels))
    keras.utils.set_random_seed(1)
    weights = tmp_path / "tiny.safetensors"
    save_safetensors(assemble(ModelSettings(weights="none", image_size=32)), weights)
    return [
        "suggest", f"--data={tmp_path / 'data'}", f"--set=model.weights={weights}",
        "--set=model.head={units: [8], dropout: [0.2]}", "--image-size=32", "--image-size=128",
    ]  # fmt: skip


def test_all_sizes_are_measured_drawn_and_the_faster_of_equals_is_picked(arguments, tmp_path, capfd):
    plot = tmp_path / "plot.svg"
    assert cli.main([*arguments, "--json", f"--plot={plot}"]) == 0
    output = capfd.readouterr()
    found = json.loads(output.out)
    by_name = {one["name"]: one for one in found["candidates"]}
    small, large = (by_name[f"mobilenet_v2 1 at {size}"] for size in (32, 128))
    assert small["accuracy"] > 0.9 and small["interval"][0] < small["accuracy"] <= small["interval"][1]
    assert large["ms"] > small["ms"] > 0 and 0 < small["bytes"] < 20_000
    assert (found["images"], found["of_images"], found["classes"], found["variant"]) == (36, 36, 3, "int8")
    assert found["pick"] == small["name"] and small["not_dominated"]
    assert found["settings"] == {"model.backbone": "mobilenet_v2", "model.image_size": 32}
    assert any(one["name"] == "resnet50" for one in found["not_measured"])
    assert "2 backbones on 36 images" in output.err
    drawn = plot.read_text()
    assert drawn.startswith("<?xml") and "mobilenet" not in found["reason"]


def test_what_exceeds_the_limits_is_not_asked_and_nothing_within_them_is_an_error(arguments, capfd):
    assert cli.main([*arguments[:-2], "--image-size=32", "--max-mb=0.0001", "--variant=float32"]) == 2
    output = capfd.readouterr()
    assert "left out, " in output.err and "frozen backbone" not in output.err
    assert "none of 1 backbone is within the limits; the fastest is mobilenet_v2 1 at 32: " in output.err
    assert "kB > 0.0001 MB" in output.out and "  –  " in output.out and "pick:" not in output.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--plot=plot.pdf"], "--plot plot.pdf: is not a file of a known format"),
        (["--plot=nowhere/plot.svg"], "its folder does not exist"),
        (["--backbone=vgg16"], "--backbone vgg16: there is no such backbone"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_measured(given, said, capfd):
    assert cli.main(["suggest", "--data=nowhere", *given]) == 2
    assert said in capfd.readouterr().err


def test_without_weights_every_reason_is_listed(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert cli.main(["suggest", "--data=nowhere"]) == 4
    written = capfd.readouterr().err
    assert f"  - inception_v3: no inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5 in {tmp_path}" in written
    assert "remedy: give files of weights by --weights" in written

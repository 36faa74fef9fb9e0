"""`edgetune inspect --write`: a configuration that loads, says what was seen, and runs."""

from __future__ import annotations

import io
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline import api, cli
from edgetune.pipeline.config.load import load
from edgetune.pipeline.config.yaml_file import flow, parse
from edgetune.pipeline.inspect.inspection import inspect
from edgetune.pipeline.inspect.suggestions import Suggestion, suggestions


def photos(folder: Path, counts: Mapping[str, int], side: int = 120, name: str = "{}.jpg") -> Path:
    """Write `counts` images of each class, each another one."""
    number = 0
    for label, count in counts.items():
        (folder / label).mkdir(parents=True)
        for of in range(count):
            number += 1
            pixels = np.random.default_rng(number).integers(0, 256, (side, side + 10, 3), np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG")
            (folder / label / name.format(of)).write_bytes(buffer.getvalue())
    return folder


def suggested(data: Path, **overrides: object) -> dict[str, Suggestion]:
    settings = api.load_settings(data=data, overrides={key.replace("__", "."): v for key, v in overrides.items()})
    found = suggestions(inspect(settings), settings)
    assert len({one.key for one in found}) == len(found)
    return {one.key: one for one in found}


def written(data: Path, out: Path, *arguments: str) -> RunSettings:
    assert cli.main(["inspect", str(data), "--write", str(out), *arguments]) == 0
    return load(out, [], None)


def test_the_written_file_loads_and_has_what_was_seen(tmp_path, capsys, monkeypatch):
    data = photos(tmp_path / "my birds", {"jay": 40, "owl": 10})
    out = tmp_path / "birds.yaml"
    settings = written(data, out)
    assert capsys.readouterr().out.endswith(f"wrote {out}; edit it, then: edgetune run --config {out}\n")
    assert (settings.name, settings.data.path) == ("my-birds", str(data))
    assert (settings.model.image_size, settings.training.class_weights) == (128, "balanced")
    assert settings.data.splits.model_dump() == {"train": 2, "eval": 1, "test": 1}
    text = out.read_text()
    assert "\n  path: my birds\n" in text  # relative to the file
    assert "# 50 images in 2 classes: jay 40, owl 10." in text and "JPEG 50; shorter side 120 to 120" in text
    assert "# A model that always answers jay is right for 80.0% of these images." in text
    assert max(map(len, text.splitlines())) <= 120
    hints = [line for line in text.splitlines() if line.strip().startswith("# flip_vertical: ")]
    assert hints == ["    # flip_vertical: true"]
    out.write_text(text.replace(hints[0], "    flip_vertical: true"))
    assert load(out, [], None).training.augmentation.flip_vertical
    monkeypatch.chdir(data.parent)  # and what the comment on top says is what runs
    [run] = [line.removeprefix("# Run it: ") for line in text.splitlines() if line.startswith("# Run it: ")]
    assert shlex.split(run) == ["edgetune", "run", "--config", "birds.yaml"]


def test_nothing_is_overwritten_and_a_bad_name_is_refused_before_anything_is_looked_at(tmp_path, capsys):
    out = tmp_path / "birds.yaml"
    out.write_text("mine")
    assert cli.main(["inspect", str(tmp_path / "nothing"), "--write", str(out)]) == ConfigError.exit_code
    assert "exists already" in capsys.readouterr().err and out.read_text() == "mine"
    assert cli.main(["inspect", str(tmp_path / "nothing"), "--write", str(tmp_path / "x.txt")]) == ConfigError.exit_code
    assert "end its name with .yaml" in capsys.readouterr().err


def test_what_the_user_decided_is_kept(tmp_path):
    data = photos(tmp_path / "photos", {"a b": 12, "c": 12}, side=60)
    config = tmp_path / "old.yaml"
    config.write_text(
        "name: mine\ndata: {path: photos, splits: {train: 4, eval: 1, test: 1}, min_side: 16}\n"
        "model: {image_size: 160, alpha: 0.35}\ntraining: {class_weights: balanced, head: {epochs: 3}}\n"
        "push: {edge: out}\nedge: {variants: [float32, int8], max_bytes: 9000000}\n"
    )
    kept = load(config, ["training.augmentation.crop=0.5"], str(data))
    arguments = ["--config", str(config), "--set", "training.augmentation.crop=0.5"]
    assert written(data, tmp_path / "new.yaml", *arguments) == kept


def test_the_list_of_fix_is_what_the_configuration_reads(tmp_path):
    data = photos(tmp_path / "photos", {"a": 12, "b": 12})
    listed = tmp_path / "list.csv"
    settings = written(data, tmp_path / "x.yaml", "--fix", str(listed))
    assert settings.data.path == str(listed) and len(inspect(settings).images) == 24


def test_sizes_follow_the_images_and_the_backbone(tmp_path):
    small, large = (photos(tmp_path / str(side), {"a": 10, "b": 10}, side=side) for side in (40, 300))
    assert suggested(small)["model.image_size"].value == 96
    assert suggested(large)["model.image_size"].value == 224
    assert suggested(small, model__backbone="inception_v3")["model.image_size"].value == 96
    assert suggested(large, model__backbone="efficientnet_b3")["model.image_size"].value == 300
    assert suggested(large, model__image_size=128)["model.image_size"].value == 128


@pytest.mark.parametrize(
    ("counts", "shares", "told"),
    [
        ({"a": 150, "b": 160}, (8, 1, 1), "About 31 test images, 15 of the smallest class."),
        ({"a": 80, "b": 80}, (6, 2, 2), "About 32 test images, 16 of the smallest class."),
        ({"a": 30, "b": 30}, (2, 1, 1), "No model is blessed with fewer than 30 test images"),
    ],
)
def test_the_test_split_is_large_enough_or_it_is_said(tmp_path, counts, shares, told):
    found = suggested(photos(tmp_path / "photos", counts, side=12))["data.splits"]
    assert tuple(found.value.values()) == shares and told in found.why


def test_splits_of_the_data_are_told_and_not_set(tmp_path):
    for split in ("train", "eval", "test"):
        photos(tmp_path / "photos" / split, {"a": 12, "b": 12}, side=12)
    found = suggested(tmp_path / "photos")
    assert "data.splits" not in found
    assert "own splits: train 24, eval 24, test 24." in found["data.path"].why


@pytest.mark.parametrize(
    ("names", "flips"),
    [(("left_shoe", "Right-Shoe"), False), (("0", "7", "12"), False), (("b", "d"), False), (("leftover", "owl"), True)],
)
def test_images_of_sides_digits_and_letters_are_not_mirrored(tmp_path, names, flips):
    data = photos(tmp_path / "photos", dict.fromkeys(names, 10), side=12)
    assert suggested(data)["training.augmentation.flip_horizontal"].value is flips


def test_groups_in_names_are_a_hint_that_a_run_can_use(tmp_path):
    data = tmp_path / "photos"
    for label in ("ill", "well"):
        for patient in range(6):
            photos(data / "x", {label: 3}, side=12, name=f"{label}{patient}_{{}}.jpg")
            for file in (data / "x" / label).iterdir():
                (data / label).mkdir(exist_ok=True)
                file.rename(data / label / file.name)
            (data / "x" / label).rmdir()
    (data / "x").rmdir()
    hint = suggested(data)["data.group"]
    assert hint.hint and "12 of them" in hint.why
    settings = api.load_settings(data=data, overrides={"data.group": hint.value})
    assert {image.group for image in inspect(settings).images} == {f"{k}{n}" for k in ("ill", "well") for n in range(6)}
    assert "data.group" not in suggested(photos(tmp_path / "plain", {"a": 30, "b": 30}, side=12, name="IMG_{}.jpg"))


def test_findings_that_stop_a_run_are_told_with_what_would_allow_them(tmp_path):
    data = photos(tmp_path / "photos", {"a": 12, "b": 12})
    (data / "b" / "same.jpg").write_bytes((data / "a" / "3.jpg").read_bytes())
    out = tmp_path / "x.yaml"
    assert written(data, out).data.allow == ()
    text = out.read_text()
    assert "# A run stops at 1 finding: " in text
    allowed = load(_uncommented(out, "allow"), [], None).data.allow
    assert allowed == ("two_labels:a/3.jpg",)


def _uncommented(path: Path, key: str) -> Path:
    path.write_text(path.read_text().replace(f"# {key}: ", f"{key}: "))
    return path


@pytest.mark.parametrize("value", [True, 0.5, "a: b # c", [1, "x"], {"train": 8}, "null", "(p[0-9]+)_", None])
def test_a_value_on_one_line_is_read_back(value):
    assert "\n" not in flow(value) and parse(f"key: {flow(value)}\n", "x").value == {"key": value}

"""`edgetune inspect --deep`: pictures, near-duplicates and labels, by the functions of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from edgetune.modules.data.near_duplicates import alike
from edgetune.modules.images import reader
from edgetune.modules.images.reading import Reading
from edgetune.pipeline import cli
from tests.helpers import photographs
from tests.tiny import backbone, model

NETWORK = ("model.weights=none", "model.image_size=32")


def test_groups_of_images_in_one_process():
    random = np.random.default_rng(1).integers(0, 256, (3, 80), np.uint8)
    near = random[0].copy()
    near[0] ^= 1  # one bit of the hash
    signatures = [random[0].tobytes(), random[1].tobytes(), near.tobytes(), b"", b"", random[1].tobytes(), b""]
    assert alike(list("abcdefd"), signatures, 12).tolist() == [0, 1, 0, 3, 4, 1, 3]
    assert alike(list("abcdefd"), signatures, 0).tolist() == [0, 1, 2, 3, 4, 5, 3]
    assert alike([], [], 12).tolist() == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return images of three colours with a wrong label, a blurred and a dark picture, and a near-duplicate."""
    for label in model.LABELS:
        (tmp_path / label).mkdir()
        for number in range(20):
            pixels = model.image(label, 100 * number + len(label), size=64)
            (tmp_path / label / f"p{number // 2}_{number}.png").write_bytes(model.png(pixels))
    (tmp_path / "blue" / "p0_1.png").rename(tmp_path / "green" / "wrong p0_1.png")
    scene = photographs.scene(1, 96, 72)
    scene.filter(ImageFilter.GaussianBlur(9)).save(tmp_path / "red" / "blurred p1_.png")
    Image.fromarray(np.asarray(scene) // 4).save(tmp_path / "red" / "dark p1_.png")
    scene.save(tmp_path / "red" / "one p1_.png")
    scene.resize((90, 68)).save(tmp_path / "green" / "two p1_.png")
    return tmp_path


def test_deep_findings_are_shown_as_text_and_as_json(monkeypatch, capsys, folder):
    backbone.use(monkeypatch)
    overrides = [f"--set={one}" for one in (*NETWORK, "data.group=p([0-9]+)_")]
    assert cli.main(["inspect", str(folder), "--deep", "--json", *overrides]) == 0
    found = {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert found["blurred"]["files"] == ["red/blurred p1_.png"] and found["dark"]["files"] == ["red/dark p1_.png"]
    assert set(found["two_labels"]["files"]) >= {"red/one p1_.png", "green/two p1_.png"}
    assert not found["two_labels"]["informs"] and found["near_duplicates"]["informs"]
    [wrong] = [one for one in found["label_errors"]["pictures"] if one["file"] == "green/wrong p0_1.png"]
    assert (wrong["given"], wrong["looks_like"]) == ("green", "blue") and 0 <= wrong["score"] < 0.5
    dark, listed = (folder / "red" / "dark p1_.png").read_bytes(), folder / "list.csv"

    def fails(content: bytes, reading: Reading) -> reader.ReadImage:
        if content == dark:
            raise reader.Unusable("it is a defect of the graph")
        return read(content, reading)

    read = reader.read_image
    monkeypatch.setattr(reader, "read_image", fails)
    assert cli.main(["inspect", str(folder), "--deep", f"--fix={listed}", *overrides]) == 0
    text = capsys.readouterr().out
    assert "rejected: red/dark p1_.png: it is a defect of the graph" in text and " + 1 rejected" in text
    assert "dark p1_" not in listed.read_text() and "one p1_" in listed.read_text()
    assert "finding (informs): label_errors: " in text and "green/wrong p0_1.png  green, looks like blue  0." in text
    assert "red/blurred p1_.png" in text

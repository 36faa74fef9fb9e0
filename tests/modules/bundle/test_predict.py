"""Images are read as in the pipeline and then classified; files that cannot be read are named."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from edgetune.modules.bundle.predict import Classifier, open_model
from edgetune.modules.bundle.variants import model_path
from edgetune.modules.bundle.write import write_checksums
from edgetune.modules.core.errors import BundleError, ConfigError, DataError
from tests.tiny import bundle as tiny_bundle
from tests.tiny import edge, model


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(model_path(tiny_bundle.bundle()))


def photograph(orientation: int = 1, kind: str = "JPEG") -> bytes:
    """Return an image of 90 x 60 pixels, left half red, right half green, with an EXIF orientation."""
    pixels = np.zeros((60, 90, 3), np.uint8)
    pixels[:, :45, 0] = pixels[:, 45:, 1] = 200
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(file, kind, exif=exif)
    return file.getvalue()


def test_predictions_equal_the_servers(classifier, tmp_path):
    server = tf.saved_model.load(edge.saved_model()).signatures["serving_default"]
    for number, (pixels, label) in enumerate(model.examples(2)):
        path = tmp_path / f"{number}.png"
        path.write_bytes(model.png(pixels))
        found = classifier.classify(path)
        expected = server(image_bytes=tf.constant([path.read_bytes()]))["probabilities"].numpy()[0]
        assert found == pytest.approx(expected, abs=1e-4)
        assert classifier.best(found, 1)[0][0] == label


def test_an_image_is_rotated_upright_before_it_is_stretched(classifier, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(classifier._runner, "probabilities", lambda images: seen.append(images[0]) or np.zeros((1, 3)))
    for orientation in (1, 6):
        path = tmp_path / f"{orientation}.jpg"
        path.write_bytes(photograph(orientation))
        classifier.classify(path)
    upright, turned = seen
    assert upright.shape == turned.shape == (32, 32, 3) and upright.dtype == np.uint8
    assert upright[16, 4].argmax() == 0 and upright[16, 28].argmax() == 1  # red left of green
    assert turned[4, 16].argmax() == 0 and turned[28, 16].argmax() == 1  # red above green


def test_the_best_classes_come_first(classifier):
    assert classifier.best(np.array([0.2, 0.1, 0.7], np.float32), 2) == [
        ("red", pytest.approx(0.7)),
        ("blue", pytest.approx(0.2)),
    ]
    assert len(classifier.best(np.array([0.2, 0.1, 0.7]), 99)) == 3


@pytest.mark.parametrize("content", [b"", b"no image", photograph()[:300]])
def test_a_file_that_is_not_an_image_is_named(classifier, tmp_path, content):
    path = tmp_path / "broken.jpg"
    path.write_bytes(content)
    with pytest.raises(DataError, match="broken.jpg: "):
        classifier.classify(path)


def test_pipes_and_missing_files_are_named_without_blocking(classifier, tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in ("pipe.jpg", "absent.jpg"):
        with pytest.raises(DataError, match=f"{name}: "):
            classifier.classify(tmp_path / name)


def test_the_requested_variant_is_chosen_or_the_reference_or_the_first(tmp_path):
    for name in ("int8", "float16"):
        (tmp_path / f"model_{name}.tflite").touch()
    assert model_path(tmp_path).name == "model_float16.tflite"
    (tmp_path / "model_float32.tflite").touch()
    assert model_path(tmp_path).name == "model_float32.tflite"
    assert model_path(tmp_path, "int8").name == "model_int8.tflite"
    assert model_path(tmp_path / "model_int8.tflite") == tmp_path / "model_int8.tflite"
    with pytest.raises(BundleError, match="has no variant dynamic") as caught:
        model_path(tmp_path, "dynamic")
    assert caught.value.remedy == "choose one of float16, float32, int8"
    with pytest.raises(BundleError, match="is a single model"):
        model_path(tmp_path / "model_int8.tflite", "int8")
    with pytest.raises(BundleError, match="does not exist"):
        model_path(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match="contains no model_<variant>.tflite"):
        model_path(tmp_path / "empty")


def test_labels_beside_a_model_are_used_if_none_are_inside(tmp_path):
    path = tmp_path / "model_float32.tflite"
    path.write_bytes(edge.converted()["float32"])
    with pytest.raises(BundleError, match="has no labels inside, and there is no labels.txt beside it"):
        Classifier(path)
    (tmp_path / "labels.txt").write_text("blue\ngreen\nred\n")
    assert Classifier(path).labels == ["blue", "green", "red"]
    (tmp_path / "labels.txt").write_text("blue\ngreen\n")
    with pytest.raises(BundleError, match=r"output is float32 \[1, 3\], but must be float32 \[1, 2\]"):
        Classifier(path)


def test_a_file_that_is_not_a_model_is_rejected(tmp_path):
    path = tmp_path / "model_float32.tflite"
    path.write_bytes(b"not a model")
    (tmp_path / "labels.txt").write_text("a\nb\n")
    with pytest.raises(BundleError, match="this is not a LiteRT model"):
        Classifier(path)
    with pytest.raises(BundleError, match="absent.tflite: does not exist"):
        Classifier(tmp_path / "absent.tflite")


@pytest.fixture
def bundle(tmp_path) -> Path:
    return Path(shutil.copytree(tiny_bundle.bundle(), tmp_path / "bundle"))


def altered(bundle: Path, change) -> None:
    """Change `bundle.json` and update its digest, as if the bundle had been pushed that way."""
    content = json.loads((bundle / "bundle.json").read_text())
    change(content)
    (bundle / "bundle.json").write_text(json.dumps(content))
    write_checksums(bundle)


def read_as(bundle: Path, monkeypatch, image: Path, **reading) -> np.ndarray:
    """Return the pixels of an image that the model receives, uint8 `[32, 32, 3]`."""
    altered(bundle, lambda content: content["input"].update(reading=reading))
    seen: list[np.ndarray] = []
    classifier = open_model(bundle)
    monkeypatch.setattr(classifier._runner, "probabilities", lambda images: seen.append(images[0]) or np.zeros((1, 3)))
    classifier.classify(image)
    return seen[0]


def nearly_transparent(folder: Path, color: list[int]) -> Path:
    """Write a picture of which one pixel can be seen: one that is all transparent is refused."""
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    image.putpixel((3, 5), (*color, 255))
    image.save(folder / "transparent.png")
    return folder / "transparent.png"


def test_images_are_read_as_in_the_run_that_made_the_bundle(bundle, tmp_path, monkeypatch):
    for background in ([200, 10, 20], [0, 0, 255]):
        transparent = nearly_transparent(tmp_path, background)
        pixels = read_as(bundle, monkeypatch, transparent, max_side=None, background=background)
        assert pixels.reshape(-1, 3).tolist() == [background] * (32 * 32)
    noise = tmp_path / "noise.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)).save(noise)
    whole, small = (read_as(bundle, monkeypatch, noise, max_side=side, background=[0, 0, 0]) for side in (None, 4))
    assert whole.std() > 2 * small.std()
    with pytest.raises(DataError, match=r"noise\.png: 64 x 64 pixels are more than data\.max_pixels 4000"):
        read_as(bundle, monkeypatch, noise, max_side=None, background=[0, 0, 0], max_pixels=4000)


def test_images_are_read_with_defaults_if_the_bundle_does_not_specify_how(bundle, tmp_path):
    transparent = nearly_transparent(tmp_path, [255, 255, 255])
    white = tmp_path / "white.png"
    Image.new("RGB", (40, 40), (255, 255, 255)).save(white)
    classifier = open_model(bundle)
    np.testing.assert_array_equal(classifier.classify(transparent), classifier.classify(white))


def test_answers_are_accepted_from_the_threshold_of_their_class(bundle):
    images = [pixels for pixels, _ in model.examples(1)]
    before = open_model(bundle).predict(images)
    assert [found.accepted for found in before] == [False] * 3  # no class has a threshold
    blue, _, red = (found.probability for found in before)
    altered(bundle, lambda content: content["calibration"].update(thresholds=[blue, None, red + 1e-4]))
    classifier = open_model(bundle)
    assert classifier.thresholds == [blue, None, red + 1e-4]
    assert [found.accepted for found in classifier.predict(images)] == [True, False, False]
    assert [found.accepted for found in classifier.predict(images, "auto")] == [True, False, False]
    assert [found.accepted for found in classifier.predict(images, threshold=0.0)] == [True] * 3
    assert [found.accepted for found in classifier.predict(images, threshold="1")] == [False] * 3
    for wrong in ("high", -0.1, 1.5, float("nan"), [0.5]):
        with pytest.raises(ConfigError, match="is neither auto nor a number from 0 to 1"):
            classifier.predict(images, threshold=wrong)


def test_without_thresholds_nothing_is_judged_and_auto_is_an_error(bundle):
    altered(bundle, lambda content: content.pop("calibration"))  # as before they were measured
    for classifier in (open_model(bundle), Classifier(bundle / "model_float32.tflite")):
        [found] = classifier.predict(model.image("red", 1))
        assert found.label == "red" and found.accepted is None
        with pytest.raises(BundleError, match="there are no thresholds of the classes"):
            classifier.predict(model.image("red", 1), threshold="auto")


def test_a_bundle_with_missing_or_altered_files_is_not_opened(bundle):
    assert open_model(bundle).labels == open_model(bundle / "model_float32.tflite").labels == list(model.LABELS)
    (bundle / "labels.txt").write_text("green\nblue\nred\n")
    (bundle / "golden" / "00.png").unlink()
    for source in (bundle, bundle / "model_float32.tflite"):
        with pytest.raises(BundleError) as caught:
            open_model(source)
        assert "golden/00.png is missing; labels.txt was altered" in caught.value.cause
        assert "edgetune verify" in caught.value.remedy
    (bundle / "bundle.json").unlink()
    with pytest.raises(BundleError, match=r"bundle.json is missing"):
        open_model(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content["variants"]["float32"].update(sha256="0" * 64), "is not the file that was measured"),
        (
            lambda content: content.update(labels=["red", "green", "blue"]),
            "its labels differ from those in bundle.json",
        ),
        (lambda content: content.pop("labels"), "bundle.json: labels: Field required"),
        (lambda content: content["input"].update(reading={"max_side": 0, "background": [1, 2, 3]}), "reading.max_side"),
    ],
)
def test_an_inconsistent_bundle_is_not_opened(bundle, change, message):
    altered(bundle, change)
    with pytest.raises(BundleError, match=message):
        open_model(bundle)

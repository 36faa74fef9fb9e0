"""A bundle answers alike in clients that we did not write: MediaPipe Tasks, LiteRT, and an old tflite-runtime.

They classify images of the exact size that the model was not fitted on, digits and tiles of photographs; what our own
interpreter (`modules.litert.interpreter`) answers is what they must answer.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from edgetune.modules.bundle.predict import open_model
from edgetune.modules.conversion.convert import convert
from edgetune.modules.litert import inspection, metadata
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.modules.litert.metadata import add_metadata
from tests.clients.agreement import WITHIN, assert_same, assert_same_variant, ours
from tests.clients.client_process import ask, rows
from tests.clients.environments import MEDIAPIPE, TFLITE_RUNTIME, Unavailable
from tests.clients.photo_bundle import ABOUT, LABELS, VARIANTS

# A real backbone is converted three times and asked by foreign interpreters.
pytestmark = pytest.mark.large


@pytest.fixture(scope="module")
def mediapipe(tiles, tmp_path_factory):
    """MediaPipe's answers: by variant for the images, by `golden <variant>` for the golden ones, which it decodes."""
    twice = tmp_path_factory.mktemp("twice") / "model_float32.tflite"
    with mock.patch.multiple(metadata, MEAN=127.5, STD=127.5):
        twice.write_bytes(add_metadata(tiles.model("float32").read_bytes(), LABELS, ABOUT))
    questions = {variant: {"model": tiles.model(variant), "images": tiles.images} for variant in VARIANTS}
    files, _ = tiles.golden()
    questions |= {f"golden {variant}": {"model": tiles.model(variant), "images": files} for variant in VARIANTS}
    questions["normalised twice"] = {"model": twice, "images": tiles.images}
    try:
        return ask(MEDIAPIPE, questions)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def dynamic(tiles, tmp_path_factory) -> Path:
    """Return the variant that the bundle does not have, of the same model."""
    path = tmp_path_factory.mktemp("dynamic") / "model_dynamic.tflite"
    made = convert(str(tiles.folder.parent / "saved_model"), ["dynamic"], np.load(tiles.images)[:16])
    path.write_bytes(made["dynamic"])
    return path


@pytest.fixture(scope="module")
def old_app(tiles, dynamic, tmp_path_factory):
    """tflite-runtime's answers, by variant and by `golden <variant>`."""
    pixels = tmp_path_factory.mktemp("golden") / "images.npy"
    np.save(pixels, golden_pixels(tiles))
    questions = {variant: {"model": tiles.model(variant), "images": tiles.images} for variant in VARIANTS}
    questions |= {f"golden {variant}": {"model": tiles.model(variant), "images": pixels} for variant in VARIANTS}
    questions["dynamic"] = {"model": dynamic, "images": tiles.images}
    try:
        return ask(TFLITE_RUNTIME, questions)
    except Unavailable as reason:
        pytest.skip(str(reason))


def golden_pixels(tiles) -> np.ndarray:
    return np.stack([np.array(Image.open(file)) for file in tiles.golden()[0]])


def golden_expected(tiles, variant: str) -> np.ndarray:
    return np.array([entry["probabilities"][variant] for entry in tiles.golden()[1]])


def test_the_model_is_worth_asking(tiles):
    images = np.load(tiles.images)
    assert len(images) == 12 * 15
    facts = json.loads((tiles.folder / "bundle.json").read_text(encoding="utf-8"))
    assert list(facts["variants"]) == list(VARIANTS)
    assert facts["saved_model"]["accuracy"] > 0.75
    assert len(set(ours(tiles, "float32").argmax(axis=1))) == len(LABELS)
    assert len(tiles.golden()[0]) == 10


@pytest.mark.parametrize("variant", VARIANTS)
def test_mediapipe_classifies_as_we_do(mediapipe, tiles, variant):
    answer = mediapipe["answers"][variant]
    assert "error" not in answer, answer
    assert_same_variant(rows(answer["categories"]), ours(tiles, variant), variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_mediapipe_decodes_the_golden_images_and_answers_what_the_bundle_says(mediapipe, tiles, variant):
    answer = mediapipe["answers"][f"golden {variant}"]
    assert "error" not in answer, answer
    assert_same_variant(rows(answer["categories"]), golden_expected(tiles, variant), variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_mediapipe_names_the_classes_as_labels_txt_does(mediapipe, tiles, variant):
    for image in mediapipe["answers"][variant]["categories"]:
        assert len(image) == len(LABELS)
        assert {index: name for index, name, _ in image} == dict(enumerate(tiles.labels()))
        scores = [score for _, _, score in image]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_mediapipe_accepts_what_we_accept(mediapipe, tiles, variant):
    images, thresholds = list(np.load(tiles.images)), tiles.thresholds()
    given = [threshold for threshold in thresholds if threshold is not None]
    assert len(given) >= 3
    expected = open_model(tiles.folder, variant).predict(images)
    accepted = mediapipe["answers"][variant]["accepted"]
    assert None in accepted and len(set(accepted)) > 3
    for name, found in zip(accepted, expected, strict=True):
        threshold = thresholds[LABELS.index(found.label)]
        if threshold is None or abs(found.probability - threshold) > WITHIN[variant]:
            assert (name is not None) is found.accepted


def test_the_python_of_the_documentation_answers_as_we_do(root, tiles, tmp_path, monkeypatch, capsys):
    code = (root / "docs" / "deploy.md").read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(shutil.copytree(tiles.folder, tmp_path / "bundle"))
    classifier = open_model(tiles.folder, "int8")
    for pixels in np.load(tiles.images)[::20]:
        Image.fromarray(pixels).save("bird.jpg", quality=95)
        exec(compile(code, "docs/deploy.md", "exec"), {})
        name, probability = capsys.readouterr().out.split()
        [expected] = classifier.predict("bird.jpg")
        # The platform's decoder may differ by a level or two.
        assert float(probability) == pytest.approx(expected.probability, abs=0.05)
        threshold = tiles.thresholds()[LABELS.index(expected.label)]
        if threshold is None or abs(expected.probability - threshold) > 0.05:
            assert name == (expected.label if expected.accepted else "unsure")


@pytest.mark.parametrize("variant", VARIANTS)
def test_mediapipe_reads_all_that_the_metadata_says(mediapipe, tiles, variant):
    assert mediapipe["answers"][variant]["metadata"] == {
        "name": ABOUT.name,
        "description": ABOUT.description,
        "author": ABOUT.author,
        "license": ABOUT.license,
        "min_parser_version": "1.0.0",
        "input": ["image", "One image, 96 x 96 pixels, RGB, each channel 0 to 255; no normalisation."],
        "output": ["probability", "Probability of each of 12 classes."],
        "mean": [0.0],
        "std": [1.0],
        "color": "RGB",
        "size": [96, 96],
        "range": [0.0, 255.0],
        "labels_kind": "TENSOR_AXIS_LABELS",
        "labels": tiles.labels(),
    }


def test_mediapipe_believes_a_normalisation_that_is_declared_wrongly(mediapipe, tiles):
    answer = mediapipe["answers"]["normalised twice"]
    assert "error" not in answer, answer
    agreement = np.mean(rows(answer["categories"]).argmax(axis=1) == ours(tiles, "float32").argmax(axis=1))
    assert agreement < 0.5


@pytest.mark.parametrize("variant", VARIANTS)
def test_litert_answers_as_we_do_with_nothing_but_what_bundle_json_says(tiles, variant):
    facts = json.loads((tiles.folder / "bundle.json").read_text(encoding="utf-8"))["variants"][variant]
    interpreter = Interpreter(model_path=str(tiles.folder / facts["file"]))
    interpreter.allocate_tensors()
    [image], [output] = interpreter.get_input_details(), interpreter.get_output_details()

    def classified(pixels: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(image["index"], pixels[np.newaxis].astype(facts["input"]["dtype"]))
        interpreter.invoke()
        return interpreter.get_tensor(output["index"])[0]

    answers = np.stack([classified(pixels) for pixels in np.load(tiles.images)])
    assert answers.dtype == facts["output"]["dtype"]
    assert_same_variant(answers, ours(tiles, variant), variant)
    golden = np.stack([classified(pixels) for pixels in golden_pixels(tiles)])
    assert_same_variant(golden, golden_expected(tiles, variant), variant)


def test_a_batch_in_our_interpreter_is_what_clients_get_one_by_one(tiles):
    images = np.load(tiles.images)[::6]
    for variant in VARIANTS:
        single, batch = (EdgeRunner(tiles.model(variant).read_bytes(), n).probabilities(images) for n in (1, 32))
        assert_same_variant(batch, single, variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_old_app_answers_as_we_do(old_app, tiles, variant):
    assert old_app["version"] == "2.14.0"
    for name, expected in ((variant, ours(tiles, variant)), (f"golden {variant}", golden_expected(tiles, variant))):
        answer = old_app["answers"][name]
        assert "error" not in answer, answer
        # Its 8-bit kernels are of 2023 and round otherwise.
        assert_same(np.array(answer["probabilities"]), expected, variant, within=0.25 if variant == "int8" else 1e-4)


@pytest.mark.parametrize("variant", [*VARIANTS, "dynamic"])
def test_an_old_app_loads_a_file_if_and_only_if_it_is_as_new_as_min_runtime_says(old_app, tiles, dynamic, variant):
    path = dynamic if variant == "dynamic" else tiles.model(variant)
    facts = inspection.inspect(path.read_bytes())
    answer = old_app["answers"][variant]
    if release(facts.min_runtime) <= release(old_app["version"]):
        assert "error" not in answer, answer
    else:  # TensorFlow 2.17 and newer write FULLY_CONNECTED in version 12
        assert answer["stage"] == "load" and "FULLY_CONNECTED" in answer["error"]


def release(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))

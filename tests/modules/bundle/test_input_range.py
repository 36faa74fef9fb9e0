"""`edge.input_range`: files that take another range of values, and all that follows the choice."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from edgetune.modules.bundle.predict import open_model
from edgetune.modules.bundle.verify import verify
from edgetune.modules.contracts.bundle import INPUT_RANGES
from edgetune.modules.litert import inspection
from edgetune.modules.litert.declared_metadata import metadata_problems
from edgetune.modules.litert.half_precision import measure
from edgetune.modules.litert.input_range import with_input_range
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.modules.litert.metadata import SAMPLE_LABELS_FILE, add_metadata, read_labels
from edgetune.pipeline.client import write_client
from tests.tiny import bundle as tiny_bundle
from tests.tiny import edge
from tests.tiny import model as tiny_model

IMAGES = np.stack([pixels for pixels, _ in tiny_model.examples(2)])
OTHERS = {"unit": (0.0, 255.0), "minus_one_one": (127.5, 127.5)}


def ranged(variant: str, mean: float, std: float) -> bytes:
    content = with_input_range(edge.converted()[variant], mean, std)
    return add_metadata(content, tiny_model.LABELS, edge.ABOUT, (mean, std))


def test_the_table_has_each_choice():
    assert {"raw": (0.0, 1.0), **OTHERS} == INPUT_RANGES


@pytest.mark.parametrize("normal", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("variant", ["float32", "float16", "dynamic"])
def test_a_model_of_another_range_gives_the_same_answers(variant, normal):
    content, plain = ranged(variant, *normal), EdgeRunner(edge.converted()[variant])
    facts, before = inspection.inspect(content), inspection.inspect(edge.converted()[variant])
    assert inspection.problems(facts, variant, 32, 3) == [] and facts.inputs == before.inputs
    runner = EdgeRunner(content, batch=2)
    low, high = runner.values(np.array([[[[0, 255, 0]]]], np.uint8)).ravel()[:2]
    assert (low, high) == {"unit": (0, 1), "minus_one_one": (-1, 1)}[{v: k for k, v in OTHERS.items()}[normal]]
    # `dynamic` quantizes its activations, and may round one of them to the other side.
    within = 1e-2 if variant == "dynamic" else 1e-5
    assert runner.probabilities(IMAGES) == pytest.approx(plain.probabilities(IMAGES), abs=within)


def test_the_raw_range_changes_no_byte():
    assert with_input_range(edge.converted()["float32"], 0.0, 1.0) is edge.converted()["float32"]


def test_half_precision_is_emulated_on_the_values_that_the_model_takes():
    content = ranged("float32", *OTHERS["minus_one_one"])
    found = measure(content, EdgeRunner(content).values(IMAGES))
    assert found.finite and found.changed == 0 and found.largest_value >= IMAGES.max() - 0.1


def test_a_file_that_declares_another_range_than_it_should_is_refused():
    content = ranged("float32", *OTHERS["unit"])
    assert metadata_problems(content, tiny_model.LABELS, OTHERS["unit"]) == []
    [raw] = metadata_problems(content, tiny_model.LABELS)
    assert "declares mean 0 and deviation 255 instead of 0 and 1: the model normalises its input itself" in raw
    [other] = metadata_problems(content, tiny_model.LABELS, OTHERS["minus_one_one"])
    assert "instead of 127.5 and 127.5: clients would give it values of another range" in other


def test_the_class_names_are_inside_under_both_names():
    content = add_metadata(edge.converted()["float32"], tiny_model.LABELS, edge.ABOUT)
    assert read_labels(content, SAMPLE_LABELS_FILE) == read_labels(content) == list(tiny_model.LABELS)
    assert SAMPLE_LABELS_FILE == "labels_without_background.txt"


def test_bundle_predict_and_client_follow(tmp_path):
    folder = tiny_bundle.bundle(("float32", "int8"), "minus_one_one")
    given = json.loads((folder / "bundle.json").read_text())["input"]
    assert (given["range"], given["mean"], given["std"]) == ([-1, 1], 127.5, 127.5)
    assert "(value - 127.5) / 127.5" in (folder / "MODEL_CARD.md").read_text()
    assert [str(check) for check in verify(folder) if check.outcome == "failed"] == []
    for variant in ("float32", "int8"):
        expected = EdgeRunner(edge.converted()[variant]).probabilities(IMAGES)
        found = [open_model(folder, variant).classify(image) for image in IMAGES]
        assert np.stack(found) == pytest.approx(expected, abs=1e-4), variant
    project = write_client(folder, "python", tmp_path / "app").parent
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(project)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0 and "5 passed" in done.stdout, done.stdout

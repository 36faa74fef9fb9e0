"""The bundle contains what was measured and blessed, and all of it can be checked."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf

from edgetune.modules.bundle.golden import Golden
from edgetune.modules.bundle.model_card import model_card
from edgetune.modules.bundle.write import Lineage, _copy_golden, write_bundle, write_checksums
from edgetune.modules.contracts.bundle import parse_bundle
from edgetune.modules.core.errors import ExportError
from edgetune.modules.evaluation.edge import evaluate
from edgetune.modules.evaluation.verdict import Thresholds
from edgetune.modules.litert.interpreter import EdgeRunner
from edgetune.modules.litert.metadata import read_labels
from tests.tiny import edge, model
from tests.tiny.bundle import VERSIONS

LINEAGE = Lineage("colours", "c" * 64, "5" * 64, "d" * 64, {"edge_model": "e" * 64}, VERSIONS)


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> Path:
    """Return a folder of `edge_model/` and `evaluation/`: float32 and int8 are blessed, float16 is not."""
    folder = tmp_path_factory.mktemp("measured")
    examples = edge.write_test_images(folder / "examples")
    contents = {**edge.converted(), "float16": edge.not_normalised()}
    del contents["dynamic"]
    edge_model = edge.write_edge_model(folder / "edge_model", contents)
    golden = Golden(str(folder / "evaluation" / "golden"), model.LABELS)
    metrics = evaluate(edge.saved_model(), edge_model, examples, Thresholds(), golden)
    (folder / "evaluation" / "metrics.json").write_text(json.dumps(metrics))
    return folder


@pytest.fixture(scope="module")
def bundle(measured, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pushed") / "bundle"
    write_bundle(folder, str(measured / "edge_model"), str(measured / "evaluation"), LINEAGE)
    return folder


def test_a_bundle_contains_only_blessed_variants(bundle):
    names = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    golden = {f"golden/{name}" for name in ("00.png", "01.png", "02.png", "expected.json")}
    described = {"labels.txt", "bundle.json", "MODEL_CARD.md", "SHA256SUMS"}
    assert names == {"model_float32.tflite", "model_int8.tflite", *described, *golden}
    assert list(json.loads((bundle / "bundle.json").read_text())["variants"]) == ["float32", "int8"]
    assert "float16" not in (bundle / "golden" / "expected.json").read_text()


def test_sha256sum_accepts_the_bundle_and_detects_a_change(bundle, tmp_path):
    listed = (bundle / "SHA256SUMS").read_text().splitlines()
    assert len(listed) == len([path for path in bundle.rglob("*") if path.is_file()]) - 1
    check = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=bundle, capture_output=True, check=False).returncode == 0
    copy = shutil.copytree(bundle, tmp_path / "copy")
    (copy / "labels.txt").write_text("other\n")
    done = subprocess.run(check, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "labels.txt" in done.stdout


def test_bundle_json_contains_the_input_contract_and_the_measurements(bundle):
    facts = json.loads((bundle / "bundle.json").read_text())
    assert facts["labels"] == list(model.LABELS) == (bundle / "labels.txt").read_text().splitlines()
    assert facts["input"]["shape"] == [1, 32, 32, 3] and facts["input"]["range"] == [0, 255]
    assert facts["test"]["images"] == 12
    int8 = facts["variants"]["int8"]
    assert int8["input"] == {**int8["input"], "dtype": "uint8", "scale": 1.0, "zero_point": 0}
    content = (bundle / int8["file"]).read_bytes()
    assert (int8["bytes"], int8["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert int8["accuracy"] == int8["agreement"] == 1.0
    assert facts["lineage"]["pipeline"] == "colours" and facts["lineage"]["config_digest"] == "c" * 64
    assert facts["lineage"]["versions"] == VERSIONS


def test_labels_are_also_inside_each_file(bundle):
    for path in bundle.glob("*.tflite"):
        assert read_labels(path.read_bytes()) == list(model.LABELS)


def test_golden_images_give_the_expected_probabilities(bundle):
    expected = json.loads((bundle / "golden" / "expected.json").read_text())
    runner = EdgeRunner((bundle / "model_float32.tflite").read_bytes())
    for image in expected["images"]:
        pixels = tf.io.decode_png((bundle / "golden" / image["file"]).read_bytes()).numpy()
        assert runner.probabilities(pixels[None])[0].tolist() == pytest.approx(
            image["probabilities"]["float32"], abs=1e-5
        )
        assert image["probabilities"]["float32"] == pytest.approx(image["probabilities"]["saved_model"], abs=1e-4)


def test_no_file_contains_a_path_of_this_machine(bundle, measured, root):
    homes = [str(root).encode(), str(measured).encode(), str(Path(edge.saved_model()).parent).encode()]
    for path in bundle.rglob("*"):
        if path.is_file():
            assert not [home for home in homes if home in path.read_bytes()], path.name


def test_the_card_contains_classes_figures_limits_and_lineage(bundle):
    card = (bundle / "MODEL_CARD.md").read_text()
    for expected in ("3 classes", "blue, green, red", "| int8 |", "| green | 4 | 1.0000 |", "12 test images"):
        assert expected in card
    assert "- data made with: edgetune 0.1.0, pillow 11.0, no pillow-heif\n" in card
    assert "- model made with: tensorflow 2.16.2, keras 3.6.0\n- edge model made with: not recorded\n" in card
    assert LINEAGE.config_digest in card
    parts = ("Intended use", "Input and output", "Data", "Variants", "Accuracy by class", "Probabilities", "Limits")
    for part in (*parts, "Lineage"):
        assert f"\n## {part}\n\n" in card


def test_bundle_and_card_say_on_which_arithmetic_each_verdict_was_made(bundle):
    variants = json.loads((bundle / "bundle.json").read_text())["variants"]
    assert variants["int8"]["arithmetic"] == {
        "measured_in": "CPU, 8-bit integers, sums in 32 bits",
        "half_precision": None,
    }
    half = variants["float32"]["arithmetic"]["half_precision"]
    assert (half["safe"], half["limit"], half["images"]) == (True, 65504, 12)
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "\n### Arithmetic\n\nAccuracy and agreement were measured on a CPU." in card
    assert (
        f"| float32 | CPU, float32 | safe: the largest sum is {half['largest_sum']:,.0f} on 12 test images |\n"
        "| int8 | CPU, 8-bit integers, sums in 32 bits | not used: integers only |\n\n## Conditions\n"
    ) in card


def test_the_card_warns_of_a_variant_that_overflows_and_does_without_the_record_of_older_metrics(bundle):
    facts = json.loads((bundle / "bundle.json").read_text())
    half = facts["variants"]["float32"]["arithmetic"]["half_precision"]
    half |= {"safe": False, "problem": "overflows in half precision: MEAN a|b sums up to 70,000, over 65,504"}
    assert "| **do not use**: overflows in half precision: MEAN a\\|b sums up to 70,000" in model_card(facts)
    name = "![x](https://e.org/x.png) <img src=x>"
    facts = json.loads(json.dumps(facts).replace(json.dumps(facts["labels"][0]), json.dumps(name)))
    card = model_card(facts)
    assert "| \\!\\[x\\](https\\://e.org/x.png) \\<img src=x\\> |" in card and "![" not in card and " <img" not in card
    half = facts["variants"]["float32"]["arithmetic"]["half_precision"]
    half |= {"safe": None, "problem": "cannot be emulated in half precision: operation SIN"}
    assert "| unknown: cannot be emulated in half precision: operation SIN |" in model_card(facts)
    for variant in facts["variants"].values():
        del variant["arithmetic"]
    assert "Arithmetic" not in model_card(facts)


def test_the_bundle_and_its_card_contain_calibration_thresholds_and_unknown_images(measured, bundle, tmp_path):
    facts, card = json.loads((bundle / "bundle.json").read_text()), (bundle / "MODEL_CARD.md").read_text()
    assert facts["calibration"]["thresholds"] == [None] * 3  # there is no eval split
    assert "| green | - | - | 0.0000 | 0 of 4 |\n" in card and "| all, int8 | | - | 0.0000 | 0 of 12 |\n" in card
    assert "Its probabilities were not scaled." in card and "how often it fails was not measured" in card
    evaluation = shutil.copytree(measured / "evaluation", tmp_path / "evaluation")
    metrics = json.loads((evaluation / "metrics.json").read_text())
    metrics["calibration"] |= {
        "temperature": 1.5,
        "thresholds": [0.25, None, 0.5],
        "unknown": {"images": 40, "unusable": 2, "accepted": 3},
    }
    metrics["calibration"]["before"]["ece"], metrics["calibration"]["after"]["ece"] = 0.125, 0.03125
    (evaluation / "metrics.json").write_text(json.dumps(metrics))
    write_bundle(tmp_path / "bundle", str(measured / "edge_model"), str(evaluation), LINEAGE)
    parsed = parse_bundle((tmp_path / "bundle" / "bundle.json").read_bytes())
    assert parsed.calibration.thresholds == [0.25, None, 0.5] and parsed.calibration.precision == 0.95
    card = " ".join((tmp_path / "bundle" / "MODEL_CARD.md").read_text().split())
    assert "the expected calibration error of the server model is 0.0312 (15 bins" in card
    assert "divided by a temperature of 1.5, fitted on the eval split; without that, the error would be 0.1250." in card
    assert "| blue | 0.2500 |" in card and "| green | - |" in card
    assert "Of 40 images that show none of the classes, 3 reach the threshold of a class." in card


def test_the_card_says_what_was_not_stated(bundle):
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "- author: Not stated.\n- licence: Not stated.\n" in card
    assert "## Intended use\n\nNot stated." in card and "## Data\n\nNot stated." in card


def test_a_file_other_than_the_measured_one_is_rejected(measured, tmp_path):
    edge_model = shutil.copytree(measured / "edge_model", tmp_path / "edge_model")
    (edge_model / "model_int8.tflite").write_bytes((edge_model / "model_float32.tflite").read_bytes())
    with pytest.raises(ExportError, match=r"model_int8.tflite: is not the file that was measured"):
        write_bundle(tmp_path / "bundle", str(edge_model), str(measured / "evaluation"), LINEAGE)


def test_a_model_that_is_not_blessed_is_not_bundled(measured, tmp_path):
    evaluation = shutil.copytree(measured / "evaluation", tmp_path / "evaluation")
    metrics = json.loads((evaluation / "metrics.json").read_text())
    (evaluation / "metrics.json").write_text(json.dumps(metrics | {"blessed": False}))
    with pytest.raises(ExportError, match="no variant is blessed"):
        write_bundle(tmp_path / "bundle", str(measured / "edge_model"), str(evaluation), LINEAGE)
    assert not (tmp_path / "bundle").exists()


def test_without_metrics_nothing_is_bundled(measured, tmp_path):
    with pytest.raises(ExportError, match=r"metrics.json: cannot be read"):
        write_bundle(tmp_path / "bundle", str(measured / "edge_model"), str(tmp_path), LINEAGE)


def test_golden_answers_are_those_of_the_variants_in_the_bundle(tmp_path):
    (tmp_path / "from").mkdir()
    answers = {name: [0.5] for name in ("saved_model", "float32", "int8")}
    expected = {"labels": ["a"], "images": [{"file": "00.png", "label": "a", "probabilities": answers}]}
    (tmp_path / "from" / "expected.json").write_text(json.dumps(expected))
    (tmp_path / "from" / "00.png").write_bytes(b"png")
    _copy_golden(str(tmp_path / "from"), tmp_path / "to", {"int8"})
    [image] = json.loads((tmp_path / "to" / "expected.json").read_text())["images"]
    assert set(image["probabilities"]) == {"saved_model", "int8"}
    assert (tmp_path / "to" / "00.png").read_bytes() == b"png"


def test_a_file_is_compared_with_its_measured_digest(tmp_path):
    facts = {"blessed": True, "file": "model_int8.tflite", "sha256": hashlib.sha256(b"measured").hexdigest()}
    (tmp_path / "metrics.json").write_text(json.dumps({"blessed": True, "variants": {"int8": facts}}))
    (tmp_path / "model_int8.tflite").write_bytes(b"exchanged")
    with pytest.raises(ExportError, match="is not the file that was measured"):
        write_bundle(tmp_path / "bundle", str(tmp_path), str(tmp_path), LINEAGE)


def test_the_list_of_digests_has_the_files_of_all_folders(tmp_path):
    (tmp_path / "golden").mkdir()
    for name in ("labels.txt", "golden/00.png"):
        (tmp_path / name).write_text(name)
    write_checksums(tmp_path)
    write_checksums(tmp_path)  # its own old content does not count
    found = dict(line.split("  ")[::-1] for line in (tmp_path / "SHA256SUMS").read_text().splitlines())
    assert found == {name: hashlib.sha256(name.encode()).hexdigest() for name in ("labels.txt", "golden/00.png")}

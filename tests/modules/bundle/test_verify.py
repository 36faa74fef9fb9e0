"""`verify` runs all checks on a bundle and reports every problem."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

from edgetune.modules.bundle.verify import verify
from edgetune.modules.bundle.write import write_checksums
from edgetune.modules.litert import metadata
from edgetune.modules.litert.metadata import add_metadata
from tests.tiny import bundle as tiny_bundle
from tests.tiny import edge
from tests.tiny import model as tiny_model


@pytest.fixture
def bundle(tmp_path):
    return shutil.copytree(tiny_bundle.bundle(), tmp_path / "bundle")


def failed(folder) -> list[str]:
    return [f"{check.file}: {check.text}" for check in verify(folder) if check.outcome == "failed"]


def test_a_pushed_bundle_passes_every_check():
    reported = []
    checks = verify(tiny_bundle.bundle(("float32", "int8")), report=reported.append)
    assert checks == reported
    assert [(check.outcome, check.file) for check in checks] == [
        ("ok", "SHA256SUMS"),
        ("ok", "bundle.json"),
        ("ok", "labels.txt"),
        ("ok", "golden/expected.json"),
        *[("ok", "model_float32.tflite")] * 3,
        *[("ok", "model_int8.tflite")] * 3,
        ("skipped", "model.sig"),
    ]
    assert "expected answers for 3 golden images" in checks[9].text and "0.05 is allowed" in checks[9].text


def test_every_problem_is_reported_once(bundle):
    (bundle / "labels.txt").write_text("blue\nred\ngreen\n")
    (bundle / "MODEL_CARD.md").unlink()
    (bundle / "golden" / "01.png").unlink()
    shutil.copy(bundle / "model_float32.tflite", bundle / "model_int8.tflite")
    found = failed(bundle)
    assert sorted(found) == [
        "MODEL_CARD.md: is missing",
        "golden/01.png: is missing",
        "golden/01.png: is missing, but golden/expected.json names it",
        "labels.txt: label 2 in it is 'red', but bundle.json says 'green'",
        "labels.txt: was altered: its digest differs from SHA256SUMS",
        "model_int8.tflite: is a model that bundle.json does not name",
        "model_int8.tflite: is not listed in SHA256SUMS",
    ]
    assert all(check.remedy for check in verify(bundle) if check.outcome == "failed")


def test_rewriting_the_list_of_digests_does_not_hide_altered_files(bundle):
    """An attacker can rewrite the list of digests, but then the files still contradict each other."""
    content = (bundle / "model_float32.tflite").read_bytes()
    facts = json.loads((bundle / "bundle.json").read_text())
    facts["labels"] = ["green", "blue", "red"]
    (bundle / "bundle.json").write_text(json.dumps(facts))
    (bundle / "model_float32.tflite").write_bytes(content.replace(b"Tells colours apart", b"Tells flowers apart"))
    write_checksums(bundle)
    found = failed(bundle)
    assert "labels.txt: label 1 in it is 'blue', but bundle.json says 'green'" in found
    assert "golden/expected.json: label 1 in it is 'blue', but bundle.json says 'green'" in found
    assert "model_float32.tflite: is not the file that was measured: its digest differs from bundle.json" in found
    assert "model_float32.tflite: label 1 inside is 'blue', but bundle.json says 'green'" in found


def replaced(bundle, content: bytes) -> list[str]:
    """Replace the float32 model and update all digests of it; return the problems that are still found."""
    (bundle / "model_float32.tflite").write_bytes(content)
    facts = json.loads((bundle / "bundle.json").read_text())
    facts["variants"]["float32"] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (bundle / "bundle.json").write_text(json.dumps(facts))
    write_checksums(bundle)
    return failed(bundle)


def test_misleading_metadata_is_found_even_if_all_digests_match(bundle, monkeypatch):
    content = (bundle / "model_float32.tflite").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(metadata, "MEAN", 127.5)
        patched.setattr(metadata, "STD", 127.5)
        twice = add_metadata(content, tiny_model.LABELS, edge.ABOUT)
    assert replaced(bundle, twice) == [
        "model_float32.tflite: declares mean 127.5 and deviation 127.5 instead of 0 and 1: the model normalises "
        "its input itself, and clients would normalise it a second time"
    ]
    swapped = add_metadata(content, ("blue", "red", "green"), edge.ABOUT)
    assert replaced(bundle, swapped) == ["model_float32.tflite: label 2 inside is 'red', but bundle.json says 'green'"]
    one_more = add_metadata(content, (*tiny_model.LABELS, "yellow"), edge.ABOUT)
    assert replaced(bundle, one_more) == ["model_float32.tflite: has 4 labels inside, but bundle.json has 3"]
    bare = edge.converted()["float32"]
    assert replaced(bundle, bare) == ["model_float32.tflite: has no metadata, so MediaPipe and ML Kit refuse it"]
    assert replaced(bundle, content) == []


def test_golden_images_that_do_not_match_the_bundle_are_reported(bundle):
    path = bundle / "golden" / "expected.json"
    expected = json.loads(path.read_text())
    expected["images"][0]["label"] = "purple"
    expected["images"][1]["probabilities"]["float32"] = [1.0]
    expected["images"][2]["probabilities"]["float32"] = [0.5, 0.5, 0.0]
    path.write_text(json.dumps(expected))
    write_checksums(bundle)
    found = failed(bundle)
    assert "golden/expected.json: 00.png is of class 'purple', which is not a label in bundle.json" in found
    assert "golden/expected.json: 01.png has 1 probabilities of float32 for 3 labels" in found
    assert any(each.startswith("model_float32.tflite: golden/02.png: probability of '") for each in found)


def test_without_bundle_json_the_remaining_checks_still_run(bundle):
    (bundle / "bundle.json").write_text("{")
    checks = verify(bundle)
    assert [check.file for check in checks if check.outcome == "failed"] == ["bundle.json", "bundle.json"]
    assert [check.file for check in checks if check.outcome == "skipped"] == ["the models", "model.sig"]


def test_a_link_instead_of_a_model_is_reported_and_not_followed(bundle):
    model = bundle / "model_float32.tflite"
    model.rename(bundle.parent / "elsewhere.tflite")
    model.symlink_to(bundle.parent / "elsewhere.tflite")
    assert failed(bundle) == ["model_float32.tflite: is a link, which could point outside the bundle"]

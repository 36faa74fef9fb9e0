"""Bundles that released versions pushed: every later version verifies them, and gives the answers of that time.

`tests/frozen/<version>` is never changed: `bundle/` as it was pushed, of the tiny network that tells colours apart;
`images/` to classify; `answers.json` with the probabilities that this version gave. A version that writes another
format adds a folder, and moves the folders that it no longer reads to the test of what is refused.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgetune.modules.bundle.predict import open_model
from edgetune.modules.bundle.verify import verify
from edgetune.modules.bundle.write import write_checksums
from edgetune.modules.contracts.bundle import FORMAT
from edgetune.modules.core.errors import BundleError
from edgetune.pipeline import cli

FROZEN = sorted(path for path in (Path(__file__).resolve().parents[2] / "frozen").iterdir() if path.is_dir())
# Of the variants, the largest difference of a probability: int8 has steps of 1/256, and kernels may round otherwise.
WITHIN = {"float32": 1e-3, "int8": 0.012}
# 0.1.0 read JPEGs with another inverse DCT, and stored turned ones as JPEG again.
READ_OTHERWISE = {("0.1.0", ".jpg"): 0.01}

frozen = pytest.mark.parametrize("folder", FROZEN, ids=lambda folder: folder.name)


@frozen
def test_verify_accepts_it(folder):
    checks = verify(folder / "bundle")
    assert [str(check) for check in checks if check.outcome == "failed"] == []
    skipped = [check.file for check in checks if check.outcome == "skipped"]
    assert skipped == ["model.sig"] and len(checks) == 11


@frozen
@pytest.mark.parametrize("variant", WITHIN)
def test_predict_gives_the_recorded_answers(folder, variant):
    recorded = json.loads((folder / "answers.json").read_text())
    classifier = open_model(folder / "bundle", variant)
    assert classifier.labels == recorded["labels"]
    assert len(recorded["answers"][variant]) == len(list((folder / "images").iterdir())) == 3
    for name, expected in recorded["answers"][variant].items():
        found = classifier.classify(folder / "images" / name)
        within = WITHIN[variant] + READ_OTHERWISE.get((folder.name, Path(name).suffix), 0)
        assert found == pytest.approx(expected, abs=within), name


@pytest.fixture(params=[FORMAT + 1, FORMAT + 41, 0], ids=["next", "far later", "earlier"])
def of_another_format(request, tmp_path) -> tuple[Path, int]:
    """Return a bundle of another format, complete and unaltered, whose other keys nobody can read today."""
    copy = shutil.copytree(FROZEN[-1] / "bundle", tmp_path / "bundle")
    (copy / "bundle.json").write_text(json.dumps({"format": request.param, "models": {"tflite": []}}))
    write_checksums(copy)
    return copy, request.param


def test_verify_says_that_a_bundle_is_of_another_format_and_nothing_else(of_another_format, capfd):
    bundle, number = of_another_format
    [failed] = [check for check in verify(bundle) if check.outcome == "failed"]
    assert failed.file == "bundle.json"
    assert failed.text == f"is of format {number}, but this edgetune reads formats 1 to {FORMAT}"
    assert ("newer edgetune" in failed.remedy) is (number > FORMAT)
    assert cli.main(["verify", str(bundle)]) == 9
    out, err = capfd.readouterr()
    assert f"failed   bundle.json: {failed.text}\n         remedy: {failed.remedy}" in out and "Traceback" not in err


def test_predict_says_that_a_bundle_is_of_another_format(of_another_format):
    bundle, number = of_another_format
    with pytest.raises(BundleError) as caught:
        open_model(bundle)
    assert (
        caught.value.cause == f"{bundle / 'bundle.json'}: is of format {number}, but this edgetune reads formats 1 to 2"
    )
    assert ("newer edgetune" in caught.value.remedy) is (number > FORMAT)

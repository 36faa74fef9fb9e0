"""Strict checks of untrusted bundle.json and expected.json."""

from __future__ import annotations

import json

import pytest

from edgetune.modules.contracts.bundle import parse_bundle, parse_expected
from edgetune.modules.core.errors import BundleError
from tests.tiny import bundle as tiny_bundle


def altered(change) -> bytes:
    content = json.loads((tiny_bundle.bundle() / "bundle.json").read_text())
    change(content)
    return json.dumps(content).encode()


def test_a_pushed_bundle_is_parsed():
    bundle = parse_bundle((tiny_bundle.bundle() / "bundle.json").read_bytes())
    assert (bundle.labels, bundle.image_size, list(bundle.variants)) == (["blue", "green", "red"], 32, ["float32"])
    expected = parse_expected((tiny_bundle.bundle() / "golden" / "expected.json").read_bytes())
    assert [image.file for image in expected.images] == ["00.png", "01.png", "02.png"]


def test_bundles_of_edgetune_010_with_flat_versions_are_parsed():
    def flat(content):
        content["lineage"]["versions"] = {"edgetune": "0.1.0", "tensorflow": "2.16.2"}

    assert list(parse_bundle(altered(flat)).variants) == ["float32"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b.update(format=3), "is of format 3, but this edgetune reads formats 1 to 2"),
        (lambda b: b.pop("format"), "is of format None"),
        (lambda b: b.pop("labels"), "labels: Field required"),
        (lambda b: b.update(labels=["a", "a"]), "a label occurs twice"),
        (lambda b: b.update(labels=["a\nb"]), "is not one line of text"),
        (lambda b: b.update(labels=[]), "labels: "),
        (lambda b: b.update(variants={}), "variants: "),
        (lambda b: b["calibration"].update(thresholds=[0.5]), "1 thresholds for 3 labels"),
        (lambda b: b["calibration"].update(thresholds=[0.5, None, 1.5]), "calibration.thresholds.2: "),
        (lambda b: b["input"].update(shape=[1, 32, 64, 3]), "the image is not square"),
        (lambda b: b["input"].update(shape=[1, 10**9, 10**9, 3]), "input.shape.1: "),
        (lambda b: b["variants"]["float32"].update(file="../../etc/passwd"), "must be model_float32.tflite"),
        (lambda b: b["variants"]["float32"].update(sha256="x"), "variants.float32.sha256: "),
        (lambda b: b["variants"]["float32"].update(bytes="many"), "variants.float32.bytes: "),
        (lambda b: b["variants"].update({"../x": b["variants"]["float32"]}), "variants.../x"),
    ],
)
def test_problems_are_named(change, message):
    with pytest.raises(BundleError) as caught:
        parse_bundle(altered(change))
    assert message in caught.value.cause and caught.value.remedy


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"format": 1}', b"1" * 10_000]
)
def test_content_that_is_not_bundle_json_is_an_error_and_not_a_crash(content):
    with pytest.raises(BundleError):
        parse_bundle(content)
    with pytest.raises(BundleError):
        parse_expected(content)


@pytest.mark.parametrize(
    "change",
    [{"file": "../00.png"}, {"file": "a/b.png"}, {"file": ".."}, {"probabilities": {"float32": [2.0]}}],
)
def test_golden_images_must_have_plain_names_and_valid_probabilities(change):
    content = json.loads((tiny_bundle.bundle() / "golden" / "expected.json").read_text())
    content["images"][0].update(change)
    with pytest.raises(BundleError, match=r"images\.0\."):
        parse_expected(json.dumps(content).encode())
    with pytest.raises(BundleError):
        parse_expected(json.dumps(content).replace("2.0", "NaN").encode())

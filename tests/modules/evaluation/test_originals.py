"""Which test images are chosen, and what becomes of their files."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from edgetune.components.image_example_gen.raw_example import from_image
from edgetune.modules.evaluation import originals
from edgetune.modules.evaluation.answers import Answers
from edgetune.modules.evaluation.originals import Location, Original, balanced, read_original
from edgetune.modules.images.reader import read_image
from tests.helpers.camera_files import encoded
from tests.tiny import infra, model


def answers(labels: list[str]) -> Answers:
    ids = np.array([f"{number:064x}" for number in range(len(labels))])
    return Answers(ids, np.array(labels), np.array(labels))


def test_images_are_chosen_equally_of_each_class_and_always_the_same():
    found = answers(["owl"] * 50 + ["wren"] * 3 + ["kite"] * 50)
    chosen = balanced(found, 20)
    assert Counter(found.label[chosen]) == {"owl": 9, "kite": 8, "wren": 3}
    assert chosen == balanced(found, 20) and len(set(chosen)) == 20
    assert sorted(balanced(found, 1000)) == list(range(103))
    assert balanced(answers([]), 20) == []


def test_the_names_of_classes_do_not_decide_which_of_many_are_asked():
    labels = [f"class {number * 37 % 100:02}" for number in range(100)]
    assert balanced(answers(labels), 5) == [0, 1, 2, 3, 4]


def test_an_image_that_occurs_twice_is_chosen_once():
    found = answers(["owl", "owl", "owl"])
    found.image_id[1] = found.image_id[0]
    assert balanced(found, 9) == [0, 2]


def test_examples_are_those_of_the_wanted_images_and_of_equal_files_the_first_by_name(tmp_path):
    photos = infra.photographs(1)
    uri = tmp_path / "examples"
    infra.write_examples(tmp_path / "photos", uri, {**photos, "red/a copy.png": photos["red/2.png"]})
    red = read_image(photos["red/2.png"], infra.READING).digest
    found = originals.examples(str(uri), {red: "red", "f" * 64: "blue"})
    assert set(found) == {red}
    assert originals.source_of(found[red]) == "red/2.png"
    assert originals.examples(str(uri), {red: "blue"}) == {}


@pytest.fixture
def photo(tmp_path) -> tuple[Path, bytes, Location]:
    """Return a file, its example and where it is."""
    content = model.png(model.image("red", 3))
    (tmp_path / "photos" / "red").mkdir(parents=True)
    path = tmp_path / "photos" / "red" / "1.png"
    path.write_bytes(content)
    location = Location("images", str(tmp_path / "photos"), infra.READING)
    return path, from_image(content, "red", "red/1.png", infra.READING).value.example, location


def test_a_file_that_ingest_stored_is_asked_and_not_read_again(photo, monkeypatch):
    _, example, location = photo
    monkeypatch.setattr(originals, "read_image", None)
    assert read_original(example, location) == Original(originals.ASKED, is_stored=True)
    assert read_original(example, replace(location, kind="manifest")).state == originals.ASKED


def test_a_file_with_the_measured_pixels_in_other_bytes_is_asked_with_those_that_the_user_has(photo):
    path, example, location = photo
    path.write_bytes(encoded(Image.open(path), "PNG", compress_level=0))
    assert read_original(example, location) == Original(originals.ASKED, content=path.read_bytes())


def with_another_checksum(path: Path) -> bytes:
    """Return the picture as a PNG whose pixels have another checksum than the file says."""
    content = bytearray(encoded(Image.open(path), "PNG"))
    content[-14] ^= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("change", "state", "why"),
    [
        (lambda path: path.unlink(), originals.GONE, "does not exist"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/hostname")), originals.GONE, "a link that leads out"),
        (lambda path: path.write_bytes(b"x" * (65 << 20)), originals.GONE, "larger than the "),
        (lambda path: path.write_bytes(b""), originals.CHANGED, "the file is empty"),
        (lambda path: path.write_bytes(model.png(model.image("red", 4))), originals.CHANGED, "other pixels than"),
        (lambda path: path.write_bytes(with_another_checksum(path)), originals.CHANGED, "damaged"),
    ],
    ids=["gone", "link", "large", "empty", "changed", "damaged"],
)
def test_a_file_that_is_not_what_was_measured_is_not_asked(photo, change, state, why):
    path, example, location = photo
    change(path)
    found = read_original(example, location)
    assert (found.state, found.content) == (state, b"")
    assert found.why.startswith(why)


def test_a_kind_that_the_server_refuses_is_kept_to_see_that_it_does(photo):
    path, example, location = photo
    path.write_bytes(encoded(Image.open(path), "WEBP", lossless=True))
    found = read_original(example, location)
    assert (found.state, found.content) == (originals.REFUSED, path.read_bytes())
    assert found.why == "is a WebP image: send JPEG or PNG"


def test_a_file_that_only_pillow_reads_is_told_from_kinds_that_are_refused(photo):
    path, example, location = photo
    content = encoded(Image.open(path), "PNG")[:-2]
    path.write_bytes(content)
    found = read_original(example, location)
    assert (found.state, found.content) == (originals.DAMAGED, content)
    assert found.why == "cannot be decoded: its data is damaged or cut off"


def test_a_record_has_no_file(photo):
    _, example, location = photo
    assert read_original(example, replace(location, kind="tfrecords")).state == originals.RECORDS
    nameless = tf.train.Example.FromString(example)
    del nameless.features.feature["source"]
    assert read_original(nameless.SerializeToString(), location).state == originals.RECORDS

"""The largest named group: what counts for it, and what is said of it."""

from __future__ import annotations

import io

import apache_beam as beam
import pytest
import tensorflow as tf
from apache_beam.testing.util import assert_that, equal_to
from PIL import Image

from edgetune.components.image_example_gen import ingest_report, named_groups
from edgetune.components.image_example_gen.grouping import AssignedImage
from edgetune.components.image_example_gen.ingest_report import Ingest
from edgetune.components.image_example_gen.named_groups import largest
from edgetune.components.image_example_gen.near_duplicates import File
from edgetune.components.image_example_gen.raw_example import ACCEPTED, RawExample, RecordFeatures, from_record
from edgetune.modules.core.errors import DataError
from edgetune.modules.images.reading import Reading


def burst() -> list[AssignedImage]:
    """Return 60 nearly equal images of a group, two of another class among them, and 5 different ones of another."""
    copies = [AssignedImage(bytes([n]), b"one", "train", (File(f"a{n:02}", "ab"[n < 2], ""),), b"c") for n in range(60)]
    others = [AssignedImage(bytes([n]), b"two", "test", (File(f"b{n}", "a", ""),), bytes([n])) for n in range(60, 65)]
    return copies + others


@pytest.mark.parametrize(("drop", "size"), [(False, (60, "a00")), (True, (5, "b60"))])
def test_files_that_are_left_out_do_not_count_for_the_largest_group(drop, size):
    with beam.Pipeline("FnApiRunner") as pipeline:
        assigned = pipeline | beam.Create(burst())
        assert_that(assigned | beam.ptransform_fn(largest)(drop), equal_to([size]))


def test_the_remedy_for_a_class_that_a_split_lacks_names_groups_if_there_are_any():
    splits = {"train": {"a": 3, "b": 3}, "eval": {"a": 3}, "test": {"a": 3, "b": 1}}
    for group, named in ((None, False), ((3, "a/1.jpg"), True)):
        with pytest.raises(DataError, match="the split eval has no image of class b") as caught:
            ingest_report.check(Ingest(13, 13, 0, splits, "", (), (), largest_group=group), 0.0)
        assert ("data.group, each class must be in at least three groups" in caught.value.remedy) == named


@pytest.mark.parametrize(
    ("group", "path", "found"),
    [
        ("patient (id)", "a.tfrecord#1", "7"),  # the feature comes first
        ("patient (no)", "patient no.tfrecord#1", "no"),
        ("patient (no)", "a.tfrecord#1", None),
        ("patient", "a.tfrecord#1", None),
    ],
)
def test_a_feature_whose_name_looks_like_an_expression_comes_before_it(group, path, found):
    example = tf.train.Example()
    image = io.BytesIO()
    Image.new("RGB", (8, 8)).save(image, "PNG")
    for name, value in (("image", image.getvalue()), ("label", b"cat"), ("patient (id)", b"7")):
        example.features.feature[name].bytes_list.value.append(value)
    features = RecordFeatures("image", "label", group=group)
    output = from_record(example.SerializeToString(), path, features, Reading(10_000, 64))
    if output.tag == ACCEPTED:
        [output] = named_groups._match(output.value, group)
    assert (output.group if isinstance(output, RawExample) else None) == found


def test_lines_of_a_list_give_the_groups_that_its_column_has(tmp_path):
    path = tmp_path / "list.csv"
    for column, found in (("patient (id)", "7"), ("patient", "id")):
        path.write_text(f"path,label,{column}\nof patient id.jpg,cat,7\n")
        of_lines = named_groups.ByList(str(path), (10_000, 100, {"group": "patient (id)"}))
        of_lines.setup()
        [image] = of_lines.process(RawExample(b"", "", "of patient id.jpg", "cat", b""))
        [image] = named_groups._match(image, "patient (id)")
        assert image.group == found

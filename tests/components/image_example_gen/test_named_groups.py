"""The largest named group: what counts for it, and what is said of it."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from edgetune.components.image_example_gen import ingest_report
from edgetune.components.image_example_gen.grouping import AssignedImage
from edgetune.components.image_example_gen.ingest_report import Ingest
from edgetune.components.image_example_gen.named_groups import largest
from edgetune.components.image_example_gen.near_duplicates import File
from edgetune.modules.core.errors import DataError


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

"""Groups that a setting names: what it may be, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgetune.modules.core.errors import DataError
from edgetune.modules.data.groups import check_kind, check_largest, list_columns, matched
from edgetune.modules.data.manifests import read_manifest
from edgetune.modules.data.sources import SPLIT_OF
from edgetune.modules.settings.data import DataSettings


@pytest.mark.parametrize(
    ("path", "group"),
    [("cat/p12_3.jpg", "12"), ("p7/cat.jpg", None), ("p7_/cat.jpg", "7"), ("cat/x.jpg", None), ("cat/p_1.jpg", None)],
)
def test_the_group_of_a_path(path, group):
    assert matched(r"p(\d*)_", path) == group


@pytest.mark.parametrize(
    ("group", "message"),
    [("p(", "is not a regular expression"), ("(a)(b)", "has 2 groups"), ("(?:a)", "has 0 groups"), ("", "at least 1")],
)
def test_an_expression_has_one_group(group, message):
    with pytest.raises(ValidationError, match=message):
        DataSettings(path="x", group=group)


def test_a_column_gives_each_line_its_group(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("path,label,patient\na.jpg,cat, 7 \nb.jpg,dog,8\n")
    settings = DataSettings(path=str(path), group="patient")
    entries = read_manifest(str(path), SPLIT_OF, columns=list_columns(settings))
    assert [entry.group for entry in entries] == ["7", "8"]
    assert [entry.group for entry in read_manifest(str(path), SPLIT_OF)] == ["", ""]
    with pytest.raises(DataError, match="has no column site, which data.group names; it has path, label, patient"):
        read_manifest(str(path), SPLIT_OF, columns={"group": "site"})
    path.write_text("path,label,patient\na.jpg,cat,\n")
    with pytest.raises(DataError, match="line 2: the group is empty"):
        read_manifest(str(path), SPLIT_OF, columns=list_columns(settings))


def test_a_column_whose_name_looks_like_an_expression_comes_before_it(tmp_path):
    path = tmp_path / "list.csv"
    settings = DataSettings(path=str(path), group="patient (id)")
    for column, groups in (("patient (id)", ["7", "8"]), ("patient", ["", ""])):
        path.write_text(f"path,label,{column}\na.jpg,cat,7\nb.jpg,dog,8\n")
        entries = read_manifest(str(path), SPLIT_OF, columns=list_columns(settings))
        assert [entry.group for entry in entries] == groups


def test_a_column_of_a_parquet_file(tmp_path):
    import pandas as pd

    path = tmp_path / "list.parquet"
    pd.DataFrame({"path": ["a.jpg"], "label": ["cat"], "site": [3], "other": [1.5]}).to_parquet(path)
    [entry] = read_manifest(str(path), SPLIT_OF, columns={"group": "site"})
    assert entry.group == "3"


def test_class_folders_have_no_column():
    with pytest.raises(DataError, match="names a column, but the data are class folders"):
        check_kind("patient", "images")
    for group, kind in (("patient", "manifest"), ("(x)", "images"), (None, "images")):
        check_kind(group, kind)


def test_a_group_of_most_images_is_refused():
    check_largest(5, 10, "a.jpg")
    with pytest.raises(DataError, match="one group of data.group has 6 of 10 images, among them a.jpg"):
        check_largest(6, 10, "a.jpg")

"""Lists of images: both file formats, and every error with file, line and remedy."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from edgetune.modules.core import bounds
from edgetune.modules.core.errors import DataError
from edgetune.modules.core.generation import TFX_116
from edgetune.modules.data import parquet as parquet_lists
from edgetune.modules.data.manifests import Entry, is_manifest, read_manifest
from edgetune.modules.data.sources import SPLIT_OF, Source, discover
from edgetune.modules.settings.run import DataSettings
from tests.helpers import crafted_parquet


def write(folder: Path, text: str | bytes) -> str:
    path = folder / "list.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def parquet(folder: Path, **columns: list) -> str:
    path = folder / "list.parquet"
    pyarrow.parquet.write_table(pa.table(columns), path)
    return str(path)


def refused(path: str) -> str:
    with pytest.raises(DataError) as caught:
        read_manifest(path, SPLIT_OF)
    assert caught.value.remedy
    assert caught.value.cause.startswith(path)
    return caught.value.cause.removeprefix(path)


def test_a_csv_is_read_with_quotes_and_with_columns_in_any_order(tmp_path):
    text = '\ufefflabel,note,path\r\noak,x,a.jpg\r\n"a ""big"" elm",y,"b,\nc.jpg"\r\n\r\noak,z,./sub//../d.jpg\r\n'
    assert read_manifest(write(tmp_path, text), SPLIT_OF) == [
        Entry("a.jpg", "oak", None),
        Entry("b,\nc.jpg", 'a "big" elm', None),
        Entry("d.jpg", "oak", None),
    ]


def test_the_usual_names_of_splits_are_accepted(tmp_path):
    names = ("train", "Training", "eval", "val", "validation", "dev", "test", "testing ")
    text = "path,label,split\n" + "".join(f"{number}.jpg,oak,{name}\n" for number, name in enumerate(names))
    found = [entry.split for entry in read_manifest(write(tmp_path, text), SPLIT_OF)]
    assert found == ["train"] * 2 + ["eval"] * 4 + ["test"] * 2


def test_a_parquet_file_is_read_with_labels_of_any_type(tmp_path):
    path = parquet(tmp_path, path=["a.jpg", "b.jpg"], label=[7, 0], split=["train", "test"], other=[1.5, None])
    assert read_manifest(path, SPLIT_OF) == [Entry("a.jpg", "7", "train"), Entry("b.jpg", "0", "test")]
    assert refused(parquet(tmp_path, path=["a.jpg", None], label=["x", "y"])) == ", row 2: the path is empty"
    assert refused(parquet(tmp_path, path=["a.jpg"])) == " has no column label; it has path"
    (tmp_path / "list.parquet").write_bytes(b"PAR1 no")
    assert refused(str(tmp_path / "list.parquet")).startswith(" cannot be read as Parquet: ")


def test_damage_anywhere_in_a_parquet_file_is_an_error(tmp_path):
    content = Path(parquet(tmp_path, path=[f"{n}.jpg" for n in range(900)], label=["oak", "elm"] * 450)).read_bytes()
    random, refusals = np.random.default_rng(1), 0
    for _ in range(400):
        damaged = bytearray(content)
        damaged[random.integers(len(content))] = random.integers(256)
        try:
            list(parquet_lists._read(bytes(damaged), {}))  # as the child does
        except DataError:
            refusals += 1
    assert refusals > 100
    (tmp_path / "list.parquet").write_bytes(content[: len(content) // 2])
    assert refused(f"{tmp_path}/list.parquet").startswith(" cannot be read as Parquet: ")


@pytest.mark.parametrize(
    ("column", "cause"),
    [
        (pa.array([b"a.jpg", b"\xff.jpg"]), " cannot be read as Parquet: 'utf-8' codec can't decode"),
        (pa.array([{"x": "a"}, {"x": "b"}]), " has a column path of type struct<x: string>"),
        (pa.array([1, 2], pa.timestamp("ms")), " has a column path of type timestamp[ms]"),
        (pa.array([b"a.jpg", b"\xff.jpg"]).view(pa.string()), " cannot be read as Parquet: 'utf-8' codec can't decode"),
    ],
)
def test_a_column_that_is_not_text_is_an_error(tmp_path, column, cause):
    assert refused(parquet(tmp_path, path=column, label=["oak", "elm"])).startswith(cause)


def test_the_types_of_other_columns_do_not_matter(tmp_path):
    path = parquet(tmp_path, path=pa.array(["a.jpg"]).dictionary_encode(), label=[True], other=[{"x": [1]}])
    assert read_manifest(path, SPLIT_OF) == [Entry("a.jpg", "True", None)]


def test_a_duplicate_column_is_an_error(tmp_path):
    assert refused(write(tmp_path, "path,label,path\na,oak,b\n")) == " has the column path more than once"
    table = pa.table([["a.jpg"], ["oak"], ["elm"]], names=["path", "label", "label"])
    pyarrow.parquet.write_table(table, tmp_path / "list.parquet")
    assert refused(f"{tmp_path}/list.parquet") == " has the column label more than once"


def test_a_list_with_more_rows_than_fit_into_memory_is_read_until_the_first_error(tmp_path):
    rows = 1_000_000
    same = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), ["a.jpg"])
    path = parquet(tmp_path, path=same, label=same)
    assert Path(path).stat().st_size < 1 << 16
    tracemalloc.start()
    try:
        assert refused(path) == ", row 2: a.jpg is already in row 1"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * rows


@pytest.mark.parametrize("typed", ["path", "note"])
def test_code_in_a_parquet_file_is_not_run(tmp_path, root, typed):
    ran = tmp_path / "ran"
    columns = {"path": ["a.jpg", "b.jpg"], "label": ["oak", "elm"], "note": ["x", "y"]}
    path = crafted_parquet.write(tmp_path / "list.parquet", columns, typed, f"touch {ran}")
    # In another process, because Beam or another test may have guarded pyarrow in this one.
    done = in_a_process(root, path)
    assert not ran.exists()
    # TFX 1.21's pyarrow reads the column as its storage type; that of TFX 1.16 refuses the file.
    refusals = ("has a column of a type with embedded Python code", "has a column path of type extension")
    if TFX_116 or typed == "path":
        assert "DataError" in done.stderr and any(refusal in done.stderr for refusal in refusals), done.stderr
    else:
        assert done.stdout.split() == ["2"], done.stderr


@pytest.mark.large
def test_a_process_that_has_read_a_parquet_file_exits_normally(tmp_path, root):
    path = parquet(tmp_path, path=[f"{n}.jpg" for n in range(100)], label=["oak", "elm"] * 50)
    for _ in range(8):
        done = in_a_process(root, path)
        assert (done.returncode, done.stdout.split()) == (0, ["100"]), done.stderr


def test_a_list_that_crashes_the_reader_is_refused(tmp_path, monkeypatch):
    path = parquet(tmp_path, path=["a.jpg"], label=["oak"])
    ends = tmp_path / "python"
    ends.write_text('#!/bin/sh\necho \'{"names": ["path", "label"], "columns": []}\'\nkill -SEGV $$\n')
    ends.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(ends))
    assert refused(path) == " cannot be read as Parquet: it crashed the reader (SIGSEGV)"


@pytest.mark.parametrize("characters", [1 << 20, pytest.param(400 << 20, marks=pytest.mark.large)])
def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path, characters):
    labels = pa.DictionaryArray.from_arrays(pa.array(np.zeros(8000, np.int8)), ["x" * characters])
    path = tmp_path / "list.parquet"
    table = pa.table({"path": [f"{n}.jpg" for n in range(8000)], "label": labels})
    pyarrow.parquet.write_table(table, path, compression="zstd")
    assert path.stat().st_size < 1 << 18
    assert refused(str(path)) in (
        " has a value of more than 65536 characters",
        " unpacks to more than a list of images can have",
        # Some of Arrow's code aborts the process if it cannot allocate memory.
        " cannot be read as Parquet: it crashed the reader (SIGABRT)",
    )


def reading(path: Path | str) -> str:
    """Code that reads a list and prints its number of entries."""
    imports = "from edgetune.modules.data.manifests import read_manifest\n"
    imports += "from edgetune.modules.data.sources import SPLIT_OF\n"
    return f"{imports}print(len(read_manifest({str(path)!r}, SPLIT_OF)))"


def in_a_process(root: Path, path: Path | str, code: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code or reading(path)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", " has no column path and no column label; it has none"),
        ("path:label\na:b\n", " has no column path and no column label; it has path:label"),
        ("path,kind\na,b\n", " has no column label; it has path, kind"),
        ("path,label\na.jpg,oak\n,elm\n", ", line 3: the path is empty"),
        ("path,label\na.jpg, \n", ", line 2: the label is empty"),
        ('path,label\n"a\nb",oak\nc,\n', ", line 4: the label is empty"),
        ("path,label,split\na.jpg,oak,trian\n", ", line 2: the split 'trian' is not known"),
        ("path,label,split\na.jpg,oak,\n", ", line 2: the split '' is not known"),
        ("path,label\na.jpg,oak\nb.jpg,oak\n./a.jpg,elm\n", ", line 4: a.jpg is already in line 2"),
        ("path,label\na.jpg,oak,elm\n", ", line 2: 3 values, but the first line names 2 columns"),
        ("path,label\na.jpg\n", ", line 2: 1 values, but the first line names 2 columns"),
        ('path,label\na.jpg,"oak\n', ", line 2: not valid CSV: unexpected end of data"),
        (b"path,label\na.jpg,oak\n\xff.jpg,elm\n", ", line 3: not UTF-8"),
    ],
)
def test_errors_in_a_csv_name_the_line(tmp_path, text, cause):
    assert refused(write(tmp_path, text)) == cause


@pytest.mark.parametrize("path", ["../a.jpg", "b/../../a.jpg", "/etc/passwd", ".", "gs://bucket/a.jpg", ".."])
def test_a_path_that_leaves_the_folder_is_an_error(tmp_path, path):
    cause = refused(write(tmp_path, f"path,label\n{path},oak\n"))
    assert cause == f", line 2: the path {path} leaves the folder {tmp_path} of the list"


def test_an_absolute_path_inside_the_folder_is_accepted(tmp_path):
    path = write(tmp_path, f"path,label\n{tmp_path}/cat/a.jpg,oak\n")
    assert read_manifest(path, SPLIT_OF) == [Entry("cat/a.jpg", "oak", None)]


def test_a_list_that_is_a_pipe_or_too_large_is_refused_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "list.csv")
    assert refused(f"{tmp_path}/list.csv") == ": a named pipe, not a file"
    with open(tmp_path / "list.parquet", "wb") as file:
        file.truncate(1 << 40)
    assert refused(f"{tmp_path}/list.parquet") == (
        f": larger than the {bounds.MAX_LIST} bytes that a list of images (data.max_list_bytes) can have"
    )


@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
def test_a_list_has_a_bounded_number_of_lines(tmp_path, name):
    path = f"{tmp_path}/{name}"
    if name.endswith(".csv"):
        Path(path).write_text("path,label\na.jpg,oak\nb.jpg,elm\nc.jpg,elm\n")
    else:
        parquet(tmp_path, path=["a.jpg", "b.jpg", "c.jpg"], label=["oak", "elm", "elm"])
    assert len(read_manifest(path, SPLIT_OF, max_records=3)) == 3
    with pytest.raises(DataError, match=r": is beyond the 2 images that a list may have \(data.max_records\)"):
        read_manifest(path, SPLIT_OF, max_records=2)


def test_a_list_may_be_a_link(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "list.csv").symlink_to(write(tmp_path, "path,label\na.jpg,oak\n"))
    assert read_manifest(f"{tmp_path}/data/list.csv", SPLIT_OF) == [Entry("a.jpg", "oak", None)]


def test_a_list_is_recognised_by_its_ending():
    assert is_manifest("/a/B.CSV") and is_manifest("gs://a/b.parquet") and is_manifest("b.pq")
    assert not is_manifest("/a/b.txt") and not is_manifest("/a/csv")


# --- as the data of a run


def found(path: str, smallest: int = 1) -> Source:
    return discover(DataSettings(path=path, min_examples_per_class=smallest))


def cause(path: str, smallest: int = 1) -> str:
    with pytest.raises(DataError) as caught:
        found(path, smallest)
    return caught.value.cause.removeprefix(path)


def test_a_list_is_a_source_with_or_without_splits(tmp_path):
    path = write(tmp_path, "path,label\na.jpg,oak\nb.jpg,elm\n")
    assert found(path) == Source("manifest", str(tmp_path), {"all": "list.csv#all"}, images=2)
    lines = [f"{label}{split}.jpg,{label},{split}\n" for label in ("oak", "elm") for split in ("dev", "test", "train")]
    source = found(write(tmp_path, "path,label,split\n" + "".join(lines)))
    assert source.has_splits
    assert source.patterns == {split: f"list.csv#{split}" for split in ("train", "eval", "test")}
    assert source.images == 6


def test_a_list_with_too_few_images_classes_or_splits_is_an_error(tmp_path):
    assert cause(write(tmp_path, "path,label\n")) == " lists no images"
    assert cause(write(tmp_path, "path,label\na.jpg,oak\n")) == " has only one class: oak"
    path = write(tmp_path, "path,label\na.jpg,oak\nb.jpg,elm\nc.jpg,elm\n")
    assert cause(path, 2) == " has 1 class with fewer than 2 images: oak (1)"
    path = write(tmp_path, "path,label,split\na.jpg,oak,eval\nb.jpg,elm,test\n")
    assert cause(path) == " has no line with the split train"
    lines = [f"{label}{split}.jpg,{label},{split}\n" for label in ("oak", "elm") for split in ("eval", "test", "train")]
    path = write(tmp_path, "path,label,split\n" + "".join(lines[:-1]))
    assert cause(path) == f"the split train of {path} lacks the classes elm, which other splits have"


def test_a_file_of_another_kind_and_a_missing_list_are_errors(tmp_path):
    (tmp_path / "list.txt").touch()
    assert cause(f"{tmp_path}/list.txt") == " is a file, not a folder of images"
    assert cause(f"{tmp_path}/absent.csv").endswith("does not exist")

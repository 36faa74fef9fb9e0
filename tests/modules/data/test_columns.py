"""Lists as people and other programs write them: names of columns, separators, encodings, paths, classes as columns."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from edgetune.modules.core.errors import DataError
from edgetune.modules.data.manifests import Entry, read_list, read_manifest
from edgetune.modules.data.sources import SPLIT_OF, discover
from edgetune.modules.settings.run import DataSettings

ROWS = [("img/a.jpg", "oak"), ("img/b.jpg", "elm")]
EXPECTED = [Entry(path, label, None) for path, label in ROWS]


def write(folder: Path, text: str | bytes, name: str = "list.csv") -> str:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def lines(separator: str = ",", header: str = "path,label") -> str:
    return "".join(separator.join(row) + "\n" for row in [header.split(","), *ROWS])


def refused(path: str, columns: dict[str, str] | None = None) -> DataError:
    with pytest.raises(DataError) as caught:
        read_manifest(path, SPLIT_OF, columns=columns)
    assert caught.value.cause.startswith(path) and caught.value.remedy
    return caught.value


@pytest.mark.parametrize(
    "header",
    ["filename,label", "image,class", "file_name,label", "Image Path,Class Name", "FILENAME,CATEGORY", "Path,Label"],
)
def test_columns_are_found_by_their_usual_names_in_any_capitals(tmp_path, header):
    assert read_manifest(write(tmp_path, lines(header=header)), SPLIT_OF) == EXPECTED


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_are_found(tmp_path, separator):
    assert read_manifest(write(tmp_path, lines(separator)), SPLIT_OF) == EXPECTED
    assert read_manifest(write(tmp_path, lines(separator), "list.tsv"), SPLIT_OF) == EXPECTED
    told = f"sep={separator}\r\n{lines(separator)}"  # as Excel does
    assert read_manifest(write(tmp_path, told), SPLIT_OF) == EXPECTED
    assert refused(write(tmp_path, told + f"x.jpg{separator}\n")).cause.endswith("line 5: the label is empty")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_the_encodings_of_office_programs_are_read(tmp_path, encoding):
    text = lines().replace("oak", "chêne")
    assert read_manifest(write(tmp_path, text.encode(encoding)), SPLIT_OF)[0].label == "chêne"


def test_another_encoding_is_an_error(tmp_path):
    assert refused(write(tmp_path, lines().replace("oak", "chêne").encode("latin-1"))).cause.endswith(
        "line 2: not UTF-8"
    )


@pytest.mark.parametrize("name", ["Split", "SPLIT", "set", "subset", "ML_USE"])
def test_a_column_of_splits_is_found_by_its_usual_names_in_any_capitals(tmp_path, name):
    splits = ("TRAIN", "Val", "TEST")
    text = f"path,label,{name}\n" + "".join(f"{s}.jpg,oak,{s}\n" for s in splits)
    assert [entry.split for entry in read_manifest(write(tmp_path, text), SPLIT_OF)] == ["train", "eval", "test"]


def test_import_files_of_vertex_ai_need_no_header(tmp_path):
    text = "TRAIN,a.jpg,oak\nVALIDATION,b.jpg,elm\nTEST,c.jpg,oak\nUNASSIGNED,d.jpg,elm\n"
    assert read_manifest(write(tmp_path, text), SPLIT_OF) == [
        Entry("a.jpg", "oak", "train"),
        Entry("b.jpg", "elm", "eval"),
        Entry("c.jpg", "oak", "test"),
        Entry("d.jpg", "elm", None),
    ]
    assert read_manifest(write(tmp_path, "a.jpg,oak\nb.jpg,elm\n"), SPLIT_OF)[0] == Entry("a.jpg", "oak", None)
    assert "has no line that names its columns" in refused(write(tmp_path, "a.jpg,oak,elm\n")).cause
    error = refused(write(tmp_path, "TRAIN,gs://bucket/x/a.jpg,oak\n"))
    assert "copy the list to gs://bucket/list.csv and run edgetune with --data gs://bucket/list.csv" in error.remedy


def test_some_lines_with_a_split_and_some_without_are_an_error(tmp_path):
    path = write(tmp_path, "TRAIN,a.jpg,oak\nTRAIN,b.jpg,elm\nUNASSIGNED,c.jpg,elm\n")
    with pytest.raises(DataError, match="1 line without a split beside lines with one"):
        discover(DataSettings(path=path, min_examples_per_class=1))


def test_paths_of_windows_are_read(tmp_path):
    text = lines().replace("/", "\\")
    assert read_manifest(write(tmp_path, text), SPLIT_OF) == EXPECTED
    (tmp_path / "img\\a.jpg").touch()  # a name of Linux
    assert read_manifest(write(tmp_path, text), SPLIT_OF)[0].path == "img\\a.jpg"
    assert "is of a drive of Windows" in refused(write(tmp_path, "path,label\nC:\\photos\\a.jpg,oak\n")).cause
    assert "leaves the folder" in refused(write(tmp_path, "path,label\n..\\a.jpg,oak\n")).cause


def test_a_list_beside_the_folder_of_its_images_is_refused_with_the_next_command(tmp_path):
    (tmp_path / "train_images").mkdir()
    for name in ("a", "b"):
        (tmp_path / "train_images" / f"{name}.jpg").touch()
    path = write(tmp_path, "image_id,label\na.jpg,oak\nb.jpg,elm\n")
    settings = DataSettings(path=path, min_examples_per_class=1, columns={"path": "image_id"})
    with pytest.raises(DataError, match="a.jpg does not exist, and train_images/a.jpg does") as caught:
        discover(settings)
    inside = tmp_path / "train_images"
    assert caught.value.remedy == f"cp {path} {inside}/ && edgetune run --data {inside}/list.csv"
    Path(path).rename(inside / "list.csv")
    settings = DataSettings(path=f"{inside}/list.csv", min_examples_per_class=1, columns={"path": "image_id"})
    assert discover(settings).images == 2
    write(inside, "path,label\na,oak\nb,elm\n")
    with pytest.raises(DataError, match="the file a does not exist, and a.jpg does") as caught:
        discover(settings.model_copy(update={"columns": DataSettings(path="x").columns}))
    assert caught.value.remedy == "add .jpg to the paths"


def of_kaggle(base: Path, name: str = "train.csv", folders: tuple[str, ...] = ("test", "train")) -> DataError:
    """Return the error for a list whose names are in several folders beside it."""
    for folder in folders:
        (base / folder).mkdir(exist_ok=True)
        for image in ("0.png", "1.png"):
            (base / folder / image).touch()
    path = write(base, "file,label\n0.png,oak\n1.png,elm\n", name)
    with pytest.raises(DataError) as caught:
        discover(DataSettings(path=path, min_examples_per_class=1))
    return caught.value


@pytest.mark.parametrize("name", ["train.csv", "Train_labels.csv", "labels-training.csv"])
def test_a_list_is_of_the_folder_that_is_named_as_it_is(tmp_path, name):
    expected = f"cp {tmp_path}/{name} {tmp_path}/train/ && edgetune run --data {tmp_path}/train/{name}"
    assert of_kaggle(tmp_path, name).remedy == expected


@pytest.mark.parametrize(
    ("name", "folders", "cause"),
    [
        ("list.csv", ("test", "train"), "test/0.png and train/0.png do"),
        ("train.csv", ("train_a", "train_b"), "train_a/0.png and train_b/0.png do"),
        ("train.csv", ("test",), "test/0.png does, in a folder that is named as another split"),
    ],
)
def test_a_list_whose_folder_is_not_certain_is_refused_without_a_command(tmp_path, name, folders, cause):
    error = of_kaggle(tmp_path, name, folders)
    assert error.cause.endswith(f"the file 0.png does not exist, and {cause}")
    assert "cp " not in error.remedy and " or in ".join(folders) in error.remedy


def test_a_folder_with_only_the_first_names_of_a_list_does_not_count(tmp_path):
    for folder, count in (("a", 25), ("b", 30)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            (tmp_path / folder / f"{number}.png").touch()
    path = write(tmp_path, "path,label\n" + "".join(f"{n}.png,{'oak' if n % 2 else 'elm'}\n" for n in range(30)))
    with pytest.raises(DataError, match="b/0.png does") as caught:
        discover(DataSettings(path=path))
    assert caught.value.remedy == f"cp {path} {tmp_path}/b/ && edgetune run --data {tmp_path}/b/list.csv"


def test_a_column_for_each_class_is_read(tmp_path):
    text = "filename, oak, elm, ash\na.jpg,0,1,0\nb.jpg,1.0,0.0,0.0\n"
    assert read_manifest(write(tmp_path, text), SPLIT_OF) == [Entry("a.jpg", "elm", None), Entry("b.jpg", "oak", None)]
    error = refused(write(tmp_path, text + "c.jpg,1,1,0\n"))
    assert error.cause.endswith("line 4: 2 of the columns oak, elm, ash are 1")
    assert "has no column label" in refused(write(tmp_path, "path,height,width\na.jpg,20,30\n")).cause


def as_parquet(folder: Path, text: str) -> str:
    """Write the lines of a CSV as Parquet, with numbers as such."""
    header, *rows = (line.split(",") for line in text.splitlines())
    columns = [[int(v) if v.isdigit() else v for v in column] for column in zip(*rows, strict=True)]
    pyarrow.parquet.write_table(pa.table(dict(zip(header, columns, strict=True))), folder / "list.parquet")
    return str(folder / "list.parquet")


FORMS = pytest.mark.parametrize("form", [write, as_parquet])


@FORMS
@pytest.mark.parametrize(
    ("header", "values"),
    [
        *((name, ("train", "val", "test")) for name in ("phase", "dataset", "mode", "type", "stage", "split_name")),
        *((name, ("Train", "dev", "TEST")) for name in ("data split", "train_test", "train/test", "fold", "x")),
        ("Usage", ("Training", "PublicTest", "PrivateTest")),
    ],
)
def test_a_column_of_names_of_splits_is_used_whatever_its_name(tmp_path, form, header, values):
    if form is as_parquet and header not in ("phase", "Usage"):  # a process for each
        return
    path = form(tmp_path, f"path,label,{header}\n" + "".join(f"{v}.jpg,oak,{v}\n" for v in values))
    listed = read_list(path, SPLIT_OF)
    assert [entry.split for entry in listed.entries] == ["train", "eval", "test"]
    assert listed.notes == (
        f"the column {header} is taken for the split, by its values; if it is not, --set data.columns.split=",
    )
    listed = read_list(path, SPLIT_OF, columns={"split": ""})
    assert {entry.split for entry in listed.entries} == {None}
    assert listed.notes == (f"columns of the list that are not used: {header}",)


@pytest.mark.parametrize(
    ("name", "splits"),
    [("is_train", ("train", "test")), ("is_valid", ("eval", "train")), ("is_test", ("test", "train"))],
)
def test_a_column_that_says_whether_an_image_is_of_a_split_is_used(tmp_path, name, splits):
    for yes, no in (("1", "0"), ("True", "False")):
        path = write(tmp_path, f"path,label,{name}\na.jpg,oak,{yes}\nb.jpg,elm,{no}\n")
        for given in ({}, {"split": name}):
            assert tuple(entry.split for entry in read_manifest(path, SPLIT_OF, columns=given)) == splits
    path = write(tmp_path, f"path,oak,elm,{name}\na.jpg,1,0,1\nb.jpg,0,1,0\n")  # and is not a class
    assert [(e.label, e.split) for e in read_manifest(path, SPLIT_OF)] == list(zip(("oak", "elm"), splits, strict=True))


def test_a_column_that_says_that_most_lines_are_valid_is_not_of_splits(tmp_path):
    path = write(tmp_path, "path,label,is_valid\na.jpg,oak,1\nb.jpg,elm,1\nc.jpg,elm,0\n")
    listed = read_list(path, SPLIT_OF)
    assert {entry.split for entry in listed.entries} == {None}
    assert listed.notes == ("columns of the list that are not used: is_valid",)


def test_two_columns_of_splits_are_refused_and_one_that_is_called_so_is_used(tmp_path):
    error = refused(write(tmp_path, "path,label,phase,is_train\na.jpg,oak,train,1\nb.jpg,elm,test,0\n"))
    assert error.cause.endswith("has the columns phase and is_train, each of which may be the split")
    assert error.remedy == "say which with --set data.columns.split=phase, or --set data.columns.split= if none is"
    listed = read_list(write(tmp_path, "path,label,split,phase\na.jpg,oak,train,test\n"), SPLIT_OF)
    assert listed.entries[0].split == "train"
    assert listed.notes == ("columns of the list that are not used: phase",)
    listed = read_list(write(tmp_path, "path,label,phase\na.jpg,oak,train\nb.jpg,oak,night\n"), SPLIT_OF)
    assert listed.entries[0].split is None
    assert listed.notes == ("columns of the list that are not used: phase",)


def test_a_column_that_leaves_its_splits_after_the_first_lines_is_an_error(tmp_path):
    text = "path,label,phase\n" + "".join(f"{n}.jpg,oak,{'train' if n < 1000 else 'night'}\n" for n in range(1001))
    error = refused(write(tmp_path, text))
    assert error.cause.endswith("line 1002: the split 'night' is not known")
    assert "--set data.columns.split=" in error.remedy


@FORMS
@pytest.mark.parametrize("header", ["id", "name", "foto"])
def test_a_column_of_files_of_images_is_the_path(tmp_path, form, header):
    listed = read_list(form(tmp_path, lines(header=f"{header},labels")), SPLIT_OF)
    assert listed.entries == EXPECTED
    assert listed.notes == (f"the column {header} is taken for the path, by its values",)
    error = refused(write(tmp_path, "a,b,label\nx.jpg,y.jpg,oak\n"))
    assert error.cause.endswith("has the columns a and b, each of which may be the path")


@FORMS
def test_classes_that_were_columns_are_said(tmp_path, form):
    listed = read_list(form(tmp_path, "path,is_rgb,has_box\na.jpg,1,0\nb.jpg,0,1\n"), SPLIT_OF)
    assert [entry.label for entry in listed.entries] == ["is_rgb", "has_box"]
    [note] = listed.notes
    assert note.startswith("the classes are the columns is_rgb, has_box, of which one is 1 in each line")
    assert note.endswith("--set data.columns.label=COLUMN")


def test_parquet_without_a_column_of_classes_is_an_error_and_not_a_crash(tmp_path):
    error = refused(as_parquet(tmp_path, "image,species\na.jpg,oak\nb.jpg,elm\n"))
    assert error.cause.endswith("has no column label; it has image, species")
    assert error.remedy.endswith("--set data.columns.label=species")
    table = pa.table({"path": ["a.jpg", "b.jpg"], "oak": [True, False], "elm": [0.0, 1.0]})
    pyarrow.parquet.write_table(table, tmp_path / "list.parquet")
    found = read_manifest(f"{tmp_path}/list.parquet", SPLIT_OF)
    assert [entry.label for entry in found] == ["oak", "elm"]
    table = table.append_column("other", pa.array([b"x" * 5000, b"y" * 5000]))  # is not looked at
    pyarrow.parquet.write_table(table, tmp_path / "list.parquet")
    assert "has no column label" in refused(f"{tmp_path}/list.parquet").cause


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("path,la\0bel\na.jpg,oak\n", "line 1: has a zero byte"),
        ("path,label\na.jpg,oak\nb\0.jpg,oak\n", "line 3: has a zero byte"),
        ("path," + "x" * 140_000 + "\n", "line 1: not valid CSV: field larger than field limit (131072)"),
    ],
)
def test_what_no_csv_has_is_an_error_with_its_line(tmp_path, text, cause):
    assert refused(write(tmp_path, text)).cause.endswith(cause)


@pytest.mark.parametrize("around", ["{} ", " {}", "\ufeff{}", "{}\t"])
def test_what_is_invisible_around_a_path_is_not_of_it(tmp_path, around):
    path = write(tmp_path, "path,label\n" + "".join(f'"{around.format(p)}",{c}\n' for p, c in ROWS))
    assert read_manifest(path, SPLIT_OF) == EXPECTED
    (tmp_path / "img").mkdir()
    (tmp_path / around.format("img/a.jpg")).parent.mkdir(exist_ok=True)
    (tmp_path / around.format("img/a.jpg")).touch()  # a file that is called so
    assert read_manifest(path, SPLIT_OF)[0].path == around.format("img/a.jpg")


def test_a_separator_at_the_end_and_lines_of_blanks_are_not_of_the_list(tmp_path):
    text = "".join(f"{path},{label},\n" for path, label in ROWS)
    for header in ("path,label\n", "path,label,\n"):
        assert read_manifest(write(tmp_path, header + text + "   \n,\n , ,\n"), SPLIT_OF) == EXPECTED
    assert "3 values" in refused(write(tmp_path, "path,label\na.jpg,oak,elm\n")).cause


def test_images_of_the_web_are_to_be_downloaded(tmp_path):
    remedy = refused(write(tmp_path, "path,label\nhttps://example.org/a.jpg,oak\n")).remedy
    assert remedy == "download the images into the folder of the list, and write their paths there into it"


def test_columns_with_any_other_name_are_given_by_the_setting(tmp_path):
    error = refused(write(tmp_path, "foto,art\n17,oak\n18,elm\n"))
    assert error.cause.endswith("has no column path and no column label; it has foto, art")
    assert "--set data.columns.path=foto" in error.remedy
    path = write(tmp_path, lines(header="foto,art"))
    error = refused(path)  # the path is found by its values, and not proposed as the label
    assert error.cause.endswith("has no column label; it has foto, art")
    assert error.remedy.endswith("--set data.columns.label=art")
    given = {"path": "foto", "label": "art"}
    assert read_manifest(path, SPLIT_OF, columns=given) == EXPECTED
    settings = DataSettings(path=path, min_examples_per_class=1, columns=given)
    assert discover(settings).images == 2
    assert "has no column bild, which data.columns.path names" in refused(path, {"path": "bild"}).cause
    unsplit = write(tmp_path, "path,label,set\na.jpg,oak,7\nb.jpg,elm,8\n")
    assert "--set data.columns.split=" in refused(unsplit).remedy
    assert [entry.split for entry in read_manifest(unsplit, SPLIT_OF, columns={"split": ""})] == [None, None]


def test_two_columns_that_may_be_the_same_are_an_error_that_names_the_setting(tmp_path):
    error = refused(write(tmp_path, "filename,image,label\na.jpg,b.jpg,oak\n"))
    assert error.cause.endswith("has the columns filename and image, each of which may be the path")
    assert error.remedy == "say which with --set data.columns.path=filename"
    text = "path,image,label\na.jpg,b.jpg,oak\n"  # the name itself goes before others
    assert read_manifest(write(tmp_path, text), SPLIT_OF) == [Entry("a.jpg", "oak", None)]


def test_parquet_columns_are_found_in_the_same_way_and_bytes_are_text(tmp_path):
    missing = pa.table({"path": ["a.jpg"], "label": [float("nan")]})
    pyarrow.parquet.write_table(missing, tmp_path / "list.parquet")
    assert refused(str(tmp_path / "list.parquet")).cause.endswith("row 1: the label is empty")
    table = pa.table({"image": ["a.jpg", "b.jpg"], "class": [b"oak", "chêne".encode()], "Split": ["train", "test"]})
    pyarrow.parquet.write_table(table, tmp_path / "list.parquet")
    found = read_manifest(str(tmp_path / "list.parquet"), SPLIT_OF)
    assert found == [Entry("a.jpg", "oak", "train"), Entry("b.jpg", "chêne", "test")]

"""`edgetune inspect`: every file under a folder is counted once, as a run would, and nothing heavy is imported."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from edgetune.modules.core.errors import ConfigError, DataError, WeightsError
from edgetune.modules.data.findings import Finding
from edgetune.pipeline import api, cli
from edgetune.pipeline.inspect import deep
from edgetune.pipeline.inspect.fix import write_list
from edgetune.pipeline.inspect.inspection import Inspection, inspect
from edgetune.pipeline.inspect.text import as_text


def picture(seed: int, kind: str = "PNG", size: tuple[int, int] = (24, 20)) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def fill(folder: Path, count: int = 12, first: int = 0) -> None:
    for number in range(count):
        put(
            folder / f"{number}.jpg",
            picture(1000 * int.from_bytes(folder.name.encode(), "big") + first + number, "JPEG"),
        )


def inspected(data: Path, **changes: object) -> Inspection:
    return inspect(api.load_settings(data=data, overrides={f"data.{key}": value for key, value in changes.items()}))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a folder of two classes with a part of what people have in theirs."""
    base = tmp_path / "photos"
    fill(base / "cat")
    fill(base / "dog", first=100)
    put(base / "dog" / "2024" / "deep.gif", picture(900, "GIF"))
    put(base / "dog" / "small.png", picture(901, size=(5, 30)))
    put(base / "cat" / "cut.png", picture(902)[:200])
    put(base / "cat" / "notes.txt", b"text")
    put(base / "cat" / "drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    put(base / "README.md", b"text")
    put(base / ".git" / "config", b"text")
    for name in ("x.jfif", "y.jpe", "z.dng", "v.jxl"):
        put(base / name, picture(903))
    put(base / "dog" / "again.jpg", (base / "cat" / "0.jpg").read_bytes())
    return base


def test_every_file_is_an_image_rejected_or_not_an_image(mixed):
    found = inspected(mixed)
    assert found.files == sum(len(files) for _, _, files in os.walk(mixed)) == 36
    assert (len(found.images), len(found.rejected), found.left_out) == (27, 6, 0)
    assert found.not_images == {".txt": 1, ".md": 1, "hidden, or of an operating system": 1}
    reasons = {row["path"]: row["reason"] for row in found.rejected}
    assert reasons["cat/cut.png"].startswith("damaged: ") and "SVG" in reasons["cat/drawing.svg"]
    assert {reasons[name] for name in ("x.jfif", "y.jpe", "z.dng", "v.jxl")} == {
        "outside the class folders, so it has no label"
    }


def test_classes_formats_sizes_and_findings_are_told(mixed):
    found = inspected(mixed).as_json()
    assert found["classes"]["cat"] == {"images": 12, "rejected": 2, "splits": {"all": 12}}
    assert found["classes"]["dog"]["images"] == 15
    assert found["formats"] == {"JPEG": 25, "GIF": 1, "PNG": 1}
    assert (found["shorter_side"], found["longer_side"]["max"]) == ({"min": 5, "median": 20, "max": 20}, 30)
    named = {item["name"]: item["files"] for item in found["findings"]}
    assert set(named["two_labels"]) == {"cat/0.jpg", "dog/again.jpg"} and named["small_images"] == ["dog/small.png"]
    [note] = found["notes"]
    assert "dog/2024" in note
    assert found["estimate"]["seconds"] > found["estimate"]["read_seconds"] > 0
    assert found["problems"] == [
        "6 of 33 files (18.2%) cannot be used as images, more than data.max_rejected 5.0% allows"
    ]


def test_the_command_prints_text_or_json_and_names_what_would_stop_a_run(mixed, capsys):
    assert cli.main(["inspect", str(mixed), "--set", "data.max_rejected=1"]) == 0
    text = capsys.readouterr().out
    assert "36 files = 27 images + 6 rejected + 3 that are not images" in text
    assert "finding: two_labels: " in text and "an estimate" in text
    assert cli.main(["inspect", str(mixed), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 27
    assert cli.main(["inspect", str(mixed / "absent")]) == DataError.exit_code


def test_deep_without_weights_loses_nothing_of_the_first_look(mixed, capsys, monkeypatch):
    def fails(images: object, settings: object, refuse: object) -> list[Finding]:
        raise WeightsError("the weights cannot be downloaded", "set model.weights")

    monkeypatch.setattr(deep, "deep", fails)
    assert cli.main(["inspect", str(mixed), "--deep", "--json"]) == WeightsError.exit_code
    printed = capsys.readouterr()
    assert json.loads(printed.out)["accepted"] == 27
    assert "the weights cannot be downloaded" in printed.err


def test_a_list_is_inspected_line_by_line(tmp_path):
    fill(tmp_path / "img", 22)
    lines = [f"img/{n}.jpg,{'cat' if n % 2 else 'dog'},{'train' if n < 18 else 'test'}" for n in range(22)]
    (tmp_path / "list.csv").write_text("\n".join(["path,label,split", *lines, "img/gone.jpg,cat,train"]))
    found = inspected(tmp_path / "list.csv")
    assert (found.files, len(found.images), len(found.rejected)) == (23, 22, 1)
    assert found.as_json()["classes"]["dog"]["splits"] == {"all": 9, "test": 2}
    assert any("eval of what is to divide" in line for line in as_text(found))


def test_fix_writes_a_list_with_the_same_classes_and_splits_and_touches_nothing_else(tmp_path, capsys):
    for split in ("train", "test"):
        for name in ("cat", "dog, brown"):
            fill(tmp_path / "data" / split / name, first=50 * (split == "test"))
    put(tmp_path / "data" / "train" / "cat" / "cut.png", picture(902)[:200])
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}
    out = tmp_path / "list.csv"
    assert cli.main(["inspect", str(tmp_path / "data"), "--fix", str(out)]) == 0
    assert f"edgetune run --data {out}" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == before
    folder, written = inspected(tmp_path / "data").as_json(), inspected(out)
    assert [written.files, written.rejected] == [48, ()]
    assert {name: row["splits"] for name, row in written.as_json()["classes"].items()} == {
        name: row["splits"] for name, row in folder["classes"].items()
    }
    assert cli.main(["inspect", str(tmp_path / "data"), "--fix", str(out)]) == ConfigError.exit_code  # it exists
    (tmp_path / "elsewhere").mkdir()
    assert cli.main(["inspect", str(out), "--fix", str(tmp_path / "elsewhere" / "list.csv")]) == ConfigError.exit_code


def patients(folder: Path, *names: str) -> None:
    """Create images whose names begin with that of a patient."""
    for number, name in enumerate(names):
        put(folder / f"{name}_{number}.png", picture(zlib.crc32(f"{folder}{number}".encode())))


def test_groups_are_checked_as_a_run_does(tmp_path):
    data = tmp_path / "data"
    for kind in ("cat", "dog"):
        patients(data / kind, *("p1", "p2", "p3", "p4") * 3)
    assert inspected(data, group="(p[0-9])_").problems == ()
    nothing = inspected(data, group="patient([0-9])_")
    assert (len(nothing.images), len(nothing.rejected)) == (0, 24)
    assert nothing.rejected[0]["reason"] == "data.group does not match its path: patient([0-9])_"
    with pytest.raises(ConfigError, match="no image of .* can be read"):
        write_list(nothing, data / "list.csv")
    assert nothing.problems[0] == "data.group matches the path of no image, such as cat/p1_0.png: patient([0-9])_"
    [problem] = inspected(data, group="(png)").problems
    assert problem.startswith("one group of data.group has 24 of 24 images, among them cat/p1_0.png")
    some = inspected(data, group="(p[12])_")
    assert (len(some.images), len(some.rejected)) == (12, 12)
    assert any("12 of 24 files (50.0%) cannot be used" in problem for problem in some.problems)


def test_fix_writes_the_groups_and_what_follows_reads_them(tmp_path, capsys):
    data, out = tmp_path / "data", tmp_path / "list.csv"
    for kind in ("cat", "dog"):
        patients(data / kind, *("p1", "p2", "p3", "p4") * 3)
    groups = {image.source: image.group for image in inspected(data, group="(p[0-9])_").images}
    assert cli.main(["inspect", str(data), "--set", "data.group=(p[0-9])_", "--fix", str(out)]) == 0
    command = shlex.split(capsys.readouterr().out.rpartition("edit it, then: ")[2])
    assert command == ["edgetune", "run", "--data", str(out), "--set", "data.group=group"]
    assert out.read_text().splitlines()[0] == "path,label,group"
    listed = inspected(out, group="group")
    assert {image.source.removeprefix("data/"): image.group for image in listed.images} == groups
    again, written = tmp_path / "again.csv", tmp_path / "list.yaml"
    told = ["--set", "data.group=(p[0-9])_", "--fix", str(again), "--write", str(written)]
    assert cli.main(["inspect", str(data), *told]) == 0
    settings = api.load_settings(written)
    assert (settings.data.path, settings.data.group) == (str(again), "group")


def test_a_group_in_two_splits_of_the_data_is_a_finding(tmp_path):
    for split, names in {"train": ("p1", "p2") * 6, "eval": ("p3",) * 12, "test": ("p2", "p4") * 6}.items():
        for kind in ("cat", "dog"):
            patients(tmp_path / "data" / split / kind, *names)
    found = inspected(tmp_path / "data", group="(p[0-9])_")
    [finding] = [finding for finding in found.findings if finding.name == "leakage"]
    assert finding.cause.startswith("one group of data.group is in the splits test and train: test/cat/p2_0.png")
    assert found.problems == ()  # a group may be large if the splits are ready
    lines = [f"{image.source},{image.label},{image.split},{image.group}" for image in found.images]
    (tmp_path / "data" / "list.csv").write_text("\n".join(["path,label,split,patient", *lines]))
    listed = inspected(tmp_path / "data" / "list.csv", group="patient")
    assert [f.cause for f in listed.findings if f.name == "leakage"] == [finding.cause]


NAMES = (
    " x.png",
    "x .png",
    "a,b.png",
    'a"b.png',
    "a\nb.png",
    "a\rb.png",
    "a\\b.png",
    "C:\\x.png",
    "ünï.png",
    "-x.png",
    "=1.png",
)


def test_the_written_list_has_the_same_images_classes_and_splits_whatever_their_names(tmp_path):
    data = tmp_path / "my data, 'new'"
    classes = (
        "black cat",
        "a,b",
        'a"b',
        "new\nline",
        "carriage\rreturn",
        "caf\u00e9",
        "cafe\u0301",
        "\U0001f600",
        "007",
        "NaN",
    )
    for number, (split, kind) in enumerate((s, c) for s in ("train", "test") for c in classes):
        put(data / split / kind / NAMES[number % len(NAMES)], picture(number))
    out = tmp_path / "list.csv"
    folder = inspected(data, min_examples_per_class=1)
    write_list(folder, out)
    written = inspected(out, min_examples_per_class=1)
    rows = [
        {(os.path.realpath(image.path), image.label, image.split or "all") for image in found.images}
        for found in (folder, written)
    ]
    assert rows[0] == rows[1] and len(rows[0]) == len(folder.images) == 2 * len(classes)
    assert written.as_json()["splits_made"] == folder.as_json()["splits_made"] == ["train", "eval"]


@pytest.mark.parametrize(
    ("names", "cause"),
    [
        ((b"cat ", b" cat"), "begins or ends with a blank"),
        ((b"caf\xe9", b"caf\xe8"), "caf\\xe8/0.png has a name that is not UTF-8"),
    ],
)
def test_no_list_is_written_that_would_merge_classes_or_could_not_be_read(tmp_path, names, cause):
    for number, name in enumerate(names):
        put(tmp_path / "data" / os.fsdecode(name) / "0.png", picture(number))
    found = inspected(tmp_path / "data", min_examples_per_class=1)
    assert len(found.as_json()["classes"]) == 2
    with pytest.raises(ConfigError) as caught:
        write_list(found, tmp_path / "list.csv")
    assert cause in caught.value.cause and caught.value.remedy.startswith("rename the f")
    assert not (tmp_path / "list.csv").exists()


def test_the_command_after_fix_has_all_that_the_inspection_was_told(tmp_path, capsys):
    for number in range(4):
        put(tmp_path / f"{number}.png", picture(number))
    lines = "".join(f"{number},{'ab'[number % 2]},{number}.png\n" for number in range(4))
    (tmp_path / "old.csv").write_text("number,art,foto\n" + lines)
    (tmp_path / "my.yaml").write_text("name: photos\ndata: {columns: {path: foto}}\n")
    out = tmp_path / "new.csv"
    told = ["--config", str(tmp_path / "my.yaml"), "--set", "data.min_examples_per_class=1"]
    told += ["--set", "data.columns.label=art"]
    assert cli.main(["inspect", str(tmp_path / "old.csv"), "--fix", str(out), *told]) == 0
    command = shlex.split(capsys.readouterr().out.rpartition("edit it, then: ")[2])
    assert command[:4] == ["edgetune", "run", "--data", str(out)]
    assert command[4:8] == told[:4]
    assert cli.main(["inspect", str(out), *command[4:]]) == 0


def test_groups_of_records_are_those_that_a_run_reads(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for number in range(24):
            texts = {"image": picture(number), "label": b"cat" if number % 2 else b"dog"}
            features = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for k, v in texts.items()}
            if number:
                features["patient"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[number % 5]))
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    found = inspected(tmp_path, group="patient")
    assert [image.group for image in found.images] == [str(number % 5) for number in range(1, 24)]
    [rejected] = found.rejected
    assert rejected["path"] == "a.tfrecord#1" and "patient" in rejected["reason"]


def test_records_are_inspected_one_by_one(tmp_path):
    def example(content: bytes, label: bytes) -> bytes:
        features = {"image": content, "label": label}
        kinds = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for k, v in features.items()}
        return tf.train.Example(features=tf.train.Features(feature=kinds)).SerializeToString()

    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for number in range(24):
            writer.write(example(picture(number), b"cat" if number % 2 else b"dog"))
        for label in (b"caf\xe9", b"caf\xe8"):
            writer.write(example(picture(50), label))
    found = inspected(tmp_path)
    assert {image.label for image in found.images} == {"cat", "dog"} and len(found.images) == 24
    reasons = {row["path"]: row["reason"] for row in found.rejected}
    assert set(reasons) == {"a.tfrecord#25", "a.tfrecord#26"}
    assert r"the label b'caf\xe9' is not UTF-8: write the records again" in reasons["a.tfrecord#25"]


def test_neither_tensorflow_nor_tfx_is_imported_for_images(tmp_path):
    for name in ("cat", "dog"):
        fill(tmp_path / name)
    program = (
        "import sys\nfrom edgetune.pipeline import cli\n"
        f"assert cli.main(['inspect', {str(tmp_path)!r}]) == 0\n"
        "sys.exit(bool({'tensorflow', 'tfx', 'apache_beam'} & set(sys.modules)))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr

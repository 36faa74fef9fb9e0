"""ImageExampleGen: accepted and rejected files, and the splits of images."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tfx.types import standard_artifacts

from edgetune.components.common.artifacts import IngestReport
from edgetune.components.image_example_gen import ImageExampleGen, ingest_report
from edgetune.components.image_example_gen.executor import Executor
from edgetune.components.image_example_gen.ingest_report import Ingest
from edgetune.components.image_example_gen.split_counts import SplitCounts
from edgetune.modules.core.errors import DataError
from edgetune.modules.data.findings import UnusableFiles
from edgetune.modules.data.sources import Source, discover
from edgetune.modules.examples import records
from edgetune.modules.images.reader import read_image
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import DataSettings
from tests.helpers import beam_context, photographs

SPLITS = ("train", "eval", "test")


@dataclass(frozen=True)
class Made:
    """Outputs of one execution."""

    ingest: dict
    rejected: dict[str, str]
    """Reason by path."""
    examples: dict[str, list[dict[str, bytes | int]]]
    """Features by name of each example, by split."""
    artifact: standard_artifacts.Examples
    report: IngestReport

    @property
    def split_of(self) -> dict[str, str]:
        """Split by source."""
        return {row["source"].decode(): split for split, rows in self.examples.items() for row in rows}


def pixels(seed: int, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size + 1, 3), dtype=np.uint8)


def save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed)).save(path)


def png(seed: int) -> bytes:
    return read_image(_png(seed), Reading(10_000)).encoded


def _png(seed: int) -> bytes:
    return tf.io.encode_png(pixels(seed)).numpy()


def execute(base: Path, into: Path, source: Source | None = None, flags: Sequence[str] = (), **changes: object) -> Made:
    """Run the executor as TFX does; `flags` are Beam's."""
    settings = DataSettings(path=str(base), **{"min_examples_per_class": 1, **changes})
    component = ImageExampleGen(source or discover(settings), settings)
    artifact, report = standard_artifacts.Examples(), IngestReport()
    artifact.uri, report.uri = str(into / "examples"), str(into / "report")
    outputs = {"examples": [artifact], "report": [report]}
    Executor(beam_context.context(into, flags)).Do({}, outputs, dict(component.exec_properties))
    with open(into / "report" / "rejected.csv", newline="", encoding="utf-8") as file:
        rejected = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    ingest = json.loads((into / "report" / "ingest.json").read_text())
    examples = {split: list(_read(artifact.uri, split)) for split in SPLITS}
    made = Made(ingest, rejected, examples, artifact, report)
    assert ingest["files"] == ingest["accepted"] + ingest["rejected"] + ingest["not_images"]
    assert ingest["accepted"] == sum(len(rows) for rows in examples.values())
    assert ingest["rejected"] == len(rejected)
    assert ingest["reading"] == {
        "max_pixels": settings.max_pixels,
        "max_side": settings.max_side,
        "background": list(settings.background),
    }
    written = hashlib.sha256((into / "report" / "ingest.json").read_bytes()).hexdigest()
    assert report.get_string_custom_property("ingest_sha256") == written
    place = json.loads((into / "report" / "source.json").read_text())
    assert place == {
        "kind": component.exec_properties["source_kind"],
        "base": component.exec_properties["input_base"],
        "max_pixels": settings.max_pixels,
        **ingest["reading"],
    }
    return made


def _read(uri: str, split: str):
    for record in records.serialized(uri, split):
        features = tf.train.Example.FromString(record.numpy()).features.feature
        yield {name: getattr(f, f.WhichOneof("kind")).value[0] for name, f in features.items()}


# --- a folder of images


COPIES = range(3, 13)


def fill(base: Path) -> None:
    """Write two classes of 25 images, ten copies in another format, two files that are not images, and hidden files."""
    for label, first in (("cat", 0), ("dog dog", 200)):
        for number in range(25):
            save(base / label / f"{number}.png", first + number)
    for number in COPIES:
        save(base / "cat" / f"copy of {number}.bmp", number)
    (base / "cat" / "broken.png").write_bytes(png(1)[:100])
    (base / "dog dog" / "notes, by me.txt").write_text("no image")
    for hidden in (".DS_Store", "Thumbs.db"):
        (base / "cat" / hidden).write_bytes(b"x")
    save(base / ".cache" / "1.png", 1)
    save(base / "__MACOSX" / "1.png", 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("photos")
    fill(base)
    return base


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return execute(folder, tmp_path_factory.mktemp("made"))


def test_every_file_is_accepted_or_rejected_or_not_an_image(made, folder):
    counts = tuple(made.ingest[name] for name in ("files", "accepted", "rejected", "not_images"))
    assert counts == (sum(path.is_file() for path in folder.rglob("*")), 60, 1, 5)
    assert made.ingest["not_images_by_kind"] == {".txt": 1, "hidden, or of an operating system": 4}
    assert set(made.split_of) | set(made.rejected) == {
        *(f"{label}/{number}.png" for label in ("cat", "dog dog") for number in range(25)),
        *(f"cat/copy of {number}.bmp" for number in COPIES),
        "cat/broken.png",
    }
    assert (made.report.get_int_custom_property("accepted"), made.report.get_int_custom_property("rejected")) == (60, 1)


def test_rejected_files_are_listed_with_path_and_reason(made):
    assert sorted(made.rejected) == ["cat/broken.png"]
    assert made.rejected["cat/broken.png"].startswith("damaged: ")


def test_an_example_has_the_documented_features(made, folder):
    [row] = [row for rows in made.examples.values() for row in rows if row["source"] == b"cat/20.png"]
    content = (folder / "cat" / "20.png").read_bytes()
    facts = asdict(read_image(content, Reading(10_000)).appearance.facts)
    assert {name: row.pop(name) for name in facts} == pytest.approx(facts)
    means = [row.pop(channel) for channel in ("red", "green", "blue")]
    assert means == pytest.approx(pixels(20).mean(axis=(0, 1)), abs=3)
    digest = read_image(content, Reading(10_000)).digest.encode()
    assert row == {
        "image": content,
        "label": b"cat",
        "source": b"cat/20.png",
        "image_id": digest,
        "split_group": digest,
        "duplicate_group": digest,
        "plain": 1,
        "width": 9,
        "height": 8,
        "aspect": 1.125,
        "bytes": len(content),
    }


def test_every_split_has_its_share_and_is_counted_by_class(made):
    counts = {split: len(rows) for split, rows in made.examples.items()}
    assert counts["train"] > 5 * max(counts["eval"], counts["test"]) and min(counts.values()) >= 2
    for split, rows in made.examples.items():
        labels = [row["label"].decode() for row in rows]
        assert made.ingest["splits"][split] == {label: labels.count(label) for label in sorted(set(labels))}
    assert json.loads(made.artifact.split_names) == list(SPLITS)


def test_equal_images_are_in_the_same_split(made):
    for number in COPIES:  # ten, since one or two could share a split by chance
        assert made.split_of[f"cat/copy of {number}.bmp"] == made.split_of[f"cat/{number}.png"]


def test_the_data_digest_depends_on_images_and_labels_and_not_on_names(made, folder, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    for number, path in enumerate(sorted((copied / "cat").glob("*.png"), reverse=True)):
        path.rename(path.with_name(f"renamed {number:02}.png"))
    same = execute(copied, tmp_path / "same")
    assert same.ingest["data_digest"] == made.ingest["data_digest"] == _digest(made) == _digest(same)
    assert set(same.split_of) != set(made.split_of)
    (copied / "cat" / "renamed 03.png").rename(copied / "dog dog" / "moved.png")
    assert _digest(execute(copied, tmp_path / "relabelled")) != _digest(made)


def _digest(made: Made) -> str:
    return made.artifact.get_string_custom_property("data_digest")


def test_too_many_rejected_files_are_an_error_that_names_the_first(folder, tmp_path):
    base = tmp_path / "bad"
    shutil.copytree(folder, base)
    for number in range(12):
        (base / "cat" / f"bad {number:02}.jpg").touch()
    with pytest.raises(UnusableFiles) as caught:
        execute(base, tmp_path / "made", max_rejected=0.15)
    cause = caught.value.cause
    assert cause.startswith("13 of 73 files (17.8%) cannot be used as images, more than data.max_rejected 15.0% allows")
    lines = cause.splitlines()[1:]
    assert len(lines) == 10
    assert lines[0].strip() == "cat/bad 00.jpg: the file is empty" and "bad 09" in lines[9]
    assert (tmp_path / "made" / "report" / "rejected.csv").read_text().count("\n") == 14  # all of them
    # The report shows these after TFX has removed the files.
    assert (caught.value.ingest["files"], caught.value.ingest["rejected"]) == (78, 13)
    assert len(caught.value.rows) == 13 and caught.value.rows[0] == {
        "path": "cat/bad 00.jpg",
        "reason": "the file is empty",
    }


def test_a_class_without_a_readable_file_is_an_error(tmp_path):
    for number in range(30):
        save(tmp_path / "data" / "cat" / f"{number}.png", number)
    for label in ("dog", "eel"):
        (tmp_path / "data" / label).mkdir()
        (tmp_path / "data" / label / "1.jpg").touch()
    with pytest.raises(DataError, match="^no file of class dog, eel can be used as an image"):
        execute(tmp_path / "data", tmp_path / "made", max_rejected=0.5)


def test_a_split_without_a_class_is_an_error(tmp_path):
    for number in range(30):
        save(tmp_path / "data" / "cat" / f"{number}.png", number)
    save(tmp_path / "data" / "dog" / "1.png", 100)
    with pytest.raises(DataError, match=r"^the split \w+ has no image of class dog"):
        execute(tmp_path / "data", tmp_path / "made")


def test_a_class_name_with_a_control_character_is_an_error(tmp_path):
    for number in range(2):
        save(tmp_path / "data" / "cat\nfood" / f"{number}.png", number)
        save(tmp_path / "data" / "dog" / f"{number}.png", 10 + number)
    with pytest.raises(DataError, match=r"^the class name 'cat\\nfood' is empty or has characters"):
        execute(tmp_path / "data", tmp_path / "made")


def test_a_split_that_the_data_lack_is_made_from_train_and_the_others_are_kept(tmp_path):
    base = tmp_path / "data"
    for number, label in enumerate(("cat", "dog")):
        for image in range(12):
            save(base / "Training" / label / "2023" / f"{image}.png", 100 * number + image)
        for image in range(3):
            save(base / "Testing" / label / f"{image}.png", 50 + 100 * number + image)
    (base / "README.md").write_text("text")
    save(base / "runs" / "plot.png", 999)
    made = execute(base, tmp_path / "made")
    assert made.ingest["splits"] == {
        "train": {"cat": 11, "dog": 11},
        "eval": {"cat": 1, "dog": 1},
        "test": {"cat": 3, "dog": 3},
    }
    assert {source for source, split in made.split_of.items() if split == "test"} == {
        f"Testing/{label}/{image}.png" for label in ("cat", "dog") for image in range(3)
    }
    assert made.ingest["files"] == sum(path.is_file() for path in base.rglob("*")) == 32
    assert (made.ingest["not_images"], made.ingest["left_out"]) == (1, 1)
    assert made.rejected == {"runs/plot.png": "in runs, which is not one of the class folders, so it has no label"}


def test_user_defined_splits_are_kept(tmp_path):
    base = tmp_path / "data"
    for number, split in enumerate(("train", "val", "test")):
        for label in ("cat", "dog"):
            save(base / split / label / "1.png", 10 * number + len(label) * (label == "dog"))
            save(base / split / label / "2.png", 7)  # the same image everywhere stays everywhere
    made = execute(base, tmp_path / "made")
    assert made.ingest["splits"] == {split: {"cat": 2, "dog": 2} for split in SPLITS}
    folders = {"train": "train", "eval": "val", "test": "test"}
    assert all(source.startswith(f"{folders[split]}/") for source, split in made.split_of.items())
    assert {row["label"] for rows in made.examples.values() for row in rows} == {b"cat", b"dog"}


# --- records


def write_records(path: Path, *examples: dict[str, bytes | int | float] | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), "GZIP" if path.suffix == ".gz" else "") as writer:
        for features in examples:
            if isinstance(features, bytes):
                writer.write(features)
                continue
            example = tf.train.Example()
            for name, value in features.items():
                feature = example.features.feature[name]
                {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}[
                    type(value)
                ].value.append(value)
            writer.write(example.SerializeToString())


def test_records_are_read_plain_or_compressed_with_labels_as_text_or_number(tmp_path):
    base = tmp_path / "data"
    for number, split in enumerate(("train", "eval", "test")):
        good = [{"pic": png(10 * number + label), "y": label} for label in (0, 7)]
        bad = [
            {"pic": png(90)},
            {"pic": png(91), "y": 0.5},
            {"pic": 5, "y": 0},
            {"pic": b"no image", "y": 0},
            b"\xff\xff not an example",
        ]
        write_records(base / split / "plain.tfrecord", *good, *(bad if split == "train" else []))
        write_records(base / split / "packed.tfrecord.gz", {"pic": png(10 * number + 5), "y": b"seven"})
    made = execute(base, tmp_path / "made", image_feature="pic", label_feature="y", max_rejected=0.5)
    assert made.ingest["splits"] == {split: {"0": 1, "7": 1, "seven": 1} for split in SPLITS}
    assert (made.ingest["files"], made.ingest["rejected"]) == (14, 5)
    assert all(path.startswith("train/plain.tfrecord#") for path in made.rejected)
    reasons = sorted(made.rejected.values())
    assert reasons[0].startswith("not a tf.Example: ")
    assert reasons[1].startswith("not an image of a known format")
    assert reasons[2] == "the feature pic does not hold bytes (data.image_feature)"
    assert reasons[3].startswith("the feature y has 0 values of bytes or integers instead of one (data.image_feature")
    assert "the record has pic)" in reasons[3] and "the record has pic, y)" in reasons[4]


def test_a_damaged_tfrecord_file_ends_the_run_with_its_name_the_position_and_a_remedy(tmp_path):
    base = tmp_path / "data"
    for split in ("train", "eval", "test"):
        write_records(base / split / "good.tfrecord", *({"image": png(n), "label": n % 2} for n in range(4)))
    cut = base / "train" / "cut.tfrecord"
    write_records(cut, *({"image": png(n), "label": n % 2} for n in range(10, 14)))
    cut.write_bytes(cut.read_bytes()[:-1])
    (base / "eval" / "text.tfrecord").write_text("this is just a text without records")
    with pytest.raises(UnusableFiles) as caught:
        execute(base, tmp_path / "made", max_rejected=1.0)  # data.max_rejected does not allow damaged files
    first, second = caught.value.cause.splitlines()
    assert first == "eval/text.tfrecord: not a TFRecord file: it does not begin with a record"
    assert second.strip().startswith("train/cut.tfrecord: cut short in record 4, at byte ")
    assert caught.value.remedy.startswith("write or copy the file again, or remove it; the number of images that it ha")
    assert [row["path"] for row in caught.value.rows] == ["eval/text.tfrecord", "train/cut.tfrecord"]
    assert (caught.value.ingest["accepted"], caught.value.ingest["rejected"]) == (15, 2)


def test_a_link_or_a_pipe_among_tfrecord_files_is_reported_and_not_read(tmp_path):
    base = tmp_path / "data"
    write_records(base / "good.tfrecord", *({"image": png(n), "label": n % 2} for n in range(20)))
    write_records(tmp_path / "outside.tfrecord", {"image": png(30), "label": 0})
    (base / "link.tfrecord").symlink_to(tmp_path / "outside.tfrecord")
    os.mkfifo(base / "pipe.tfrecord")
    with pytest.raises(UnusableFiles) as caught:
        execute(base, tmp_path / "made")
    first, second = caught.value.cause.splitlines()
    assert first.startswith("link.tfrecord: a link that leads out of the folder")
    assert second.strip() == "pipe.tfrecord: a named pipe, not a file"


def test_dropping_duplicates_keeps_one_of_several_equal_records(tmp_path):
    base = tmp_path / "data"
    rows = [{"image": png(n), "label": n % 2} for n in range(20)]
    write_records(base / "a.tfrecord", *rows, rows[3], rows[3])
    made = execute(base, tmp_path / "made", on_duplicates="drop")
    assert len(made.split_of) == 20 and len(made.rejected) == 2
    assert set(made.rejected) < {"a.tfrecord#4", "a.tfrecord#21", "a.tfrecord#22"}


def test_a_tensorflow_datasets_folder_keeps_its_splits_and_class_names(tmp_path):
    base = tmp_path / "data"
    for number, split in enumerate(("train", "validation", "test")):
        rows = [{"image": png(10 * number + label), "label": label} for label in (0, 1)]
        write_records(base / f"birds-{split}.tfrecord-00000-of-00001", *rows, {"image": png(9), "label": 2 + number})
    (base / "label.labels.txt").write_text("owl\nwren\n")
    made = execute(base, tmp_path / "made", max_rejected=0.5)
    assert made.ingest["splits"] == {split: {"owl": 1, "wren": 1} for split in SPLITS}
    assert made.rejected["birds-test.tfrecord-00000-of-00001#3"] == "the label 4 is not one of the 2 that have a name"


@pytest.mark.large
def test_records_in_the_form_of_tfxs_cifar10_sample_are_read(tmp_path):
    """Two files of 128, each with an identifier that is ignored, beside a file that the pattern leaves out."""
    base = tmp_path / "data"
    for first, split in enumerate(("train", "test")):
        images = [tf.io.encode_png(photographs.scene(1000 * first + number, 32, 32)).numpy() for number in range(128)]
        rows = [{"image": image, "label": number % 10, "id": number} for number, image in enumerate(images)]
        write_records(base / f"cifar10_{split}.tfrecord", *rows)
    write_records(base / "mnist.tfrecord", {"image": png(1), "label": 1})
    assert_is_cifar10(base, tmp_path / "made")


@pytest.mark.large
def test_tfxs_own_cifar10_records_are_read(tmp_path):
    assert_is_cifar10(photographs.real_data("cifar10_tfx"), tmp_path)


def assert_is_cifar10(base: Path, into: Path) -> None:
    settings = {"tfrecord_pattern": "cifar10_*.tfrecord", "splits": {"train": 2, "eval": 1, "test": 1}}
    made = execute(base, into, **settings)
    assert (made.ingest["accepted"], made.ingest["rejected"]) == (256, 0)
    assert all(set(counts) == {str(label) for label in range(10)} for counts in made.ingest["splits"].values())
    row = made.examples["train"][0]
    assert (row["width"], row["height"]) == (32, 32)
    assert row["source"].startswith(b"cifar10_t")


# --- checks of the report


def ingest(**changes: object) -> Ingest:
    splits = {split: {"cat": 3, "dog": 2} for split in SPLITS}
    values = {"files": 16, "accepted": 15, "rejected": 1, "splits": splits, "data_digest": "0" * 64}
    return Ingest(**{**values, "lost_classes": (), "first_rejected": (("cat/1.jpg", "empty"),), **changes})


def test_a_rejected_share_equal_to_max_rejected_passes():
    ingest_report.check(ingest(files=20, accepted=19), 0.05)
    with pytest.raises(DataError, match=r"1 of 19 files \(5.3%\)"):
        ingest_report.check(ingest(files=19, accepted=18), 0.05)


def test_no_readable_file_is_an_error_for_any_max_rejected():
    nothing = ingest(files=2, accepted=0, rejected=2, splits={split: {} for split in SPLITS})
    with pytest.raises(DataError, match="2 of 2 files"):
        ingest_report.check(nothing, 1.0)


@pytest.mark.parametrize("name", ["می\u200cخواهم", "क्\u200dष", "\U0001f468\u200d\U0001f469\u200d\U0001f467"])
def test_a_class_name_may_have_joiners_inside_words(name):
    ingest_report.check(ingest(splits={split: {name: 1, "dog": 1} for split in SPLITS}), 1.0)


def test_rejected_files_are_no_formulas(tmp_path):
    rows = [{"path": path, "reason": "no, damaged"} for path in ("=1+1/a.jpg", "'=1.jpg", "oak/+1.jpg")]
    (tmp_path / "rejected.csv").write_bytes(ingest_report._as_csv(rows))
    lines = (tmp_path / "rejected.csv").read_text().splitlines()[1:]
    assert [line.split('"')[1] for line in lines] == ["'=1+1/a.jpg", "''=1.jpg", "oak/+1.jpg"]
    assert ingest_report.rejected_rows(str(tmp_path), 9) == rows


@pytest.mark.parametrize("name", ["", " ", "a\tb", "a\x00", "a\u200d", "\u200ca"])
def test_a_class_name_that_does_not_fit_into_a_line_is_an_error(name):
    with pytest.raises(DataError, match="empty or has characters that cannot be printed"):
        ingest_report.check(ingest(splits={split: {name: 1, "dog": 1} for split in SPLITS}), 1.0)


def test_counts_do_not_depend_on_order_or_number_of_parts():
    counts = SplitCounts()

    def example(image: bytes, label: bytes, source: bytes = b"x.jpg") -> tf.train.Example:
        made = tf.train.Example()
        made.features.feature["source"].bytes_list.value.append(source)
        made.features.feature["image_id"].bytes_list.value.append(image)
        made.features.feature["label"].bytes_list.value.append(label)
        return made

    def of(*parts: list[tf.train.Example]) -> dict:
        accumulators = []
        for part in parts:
            accumulator = counts.create_accumulator()
            for one in part:
                accumulator = counts.add_input(accumulator, one)
            accumulators.append(accumulator)
        return counts.extract_output(counts.merge_accumulators(accumulators))

    one, two, three = example(b"1", b"cat"), example(b"2", b"dog"), example(b"1", b"cat")
    found = of([one, two, three])
    assert found["classes"] == {"cat": 2, "dog": 1} and len(found["digest"]) == 64
    assert of([three], [], [two, one]) == found
    assert of([one, two])["digest"] != found["digest"]  # a copy counts
    assert of([example(b"1", b"dog"), two, three])["digest"] != found["digest"]
    assert of([example(b"2", b"cat"), example(b"1", b"dog"), three])["digest"] != found["digest"]
    # Samples are the files of the smallest digests of pixels, of each class.
    many = [example(b"%d" % n, b"cat", b"cat/\xff%d.jpg" % n) for n in range(9)]
    chosen = {"cat": [f"cat/\udcff{n}.jpg" for n in range(3)], "dog": ["x.jpg"]}
    assert of(many[5:], [two], many[:5])["samples"] == of([*reversed(many), two])["samples"] == chosen


def test_groups_that_leave_nothing_to_divide_stop_the_run():
    unmatched = {
        "accepted": 0,
        "splits": {},
        "first_rejected": (("cat/1.jpg", "data.group does not match its path: p"),),
    }
    with pytest.raises(DataError, match="data.group matches the path of no image, such as cat/1.jpg"):
        ingest_report.check(ingest(**unmatched), 1.0)
    ingest_report.check(ingest(largest_group=(7, "cat/1.jpg")), 0.1)
    with pytest.raises(DataError, match="one group of data.group has 8 of 15 images, among them cat/1.jpg"):
        ingest_report.check(ingest(largest_group=(8, "cat/1.jpg")), 0.1)

"""ImageExampleGen over several runs of one pipeline: near-duplicates stay together, and images keep their splits."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tfx.types import standard_artifacts

from edgetune.components.common.artifacts import IngestReport
from edgetune.components.image_example_gen import ImageExampleGen, split_memory
from edgetune.components.image_example_gen.executor import Executor
from edgetune.components.image_example_gen.grouping import AssignedImage
from edgetune.components.image_example_gen.near_duplicates import File
from edgetune.modules.contracts import example_features
from edgetune.modules.data.connected_groups import name_id
from edgetune.modules.data.sources import discover
from edgetune.modules.examples import records
from edgetune.modules.settings.run import DataSettings
from tests.helpers import beam_context


@dataclass(frozen=True)
class Run:
    """Outputs of one run."""

    split_of: dict[str, str]
    """Split by source."""
    group_of: dict[str, bytes]
    ingest: dict
    rejected: dict[str, str]

    def counts(self, label: str) -> Counter[str]:
        return Counter(split for source, split in self.split_of.items() if source.startswith(f"{label}/"))


def execute(base: Path, into: Path, memory: Path, **changes: object) -> Run:
    settings = DataSettings(path=str(base), **{"min_examples_per_class": 1, **changes})
    component = ImageExampleGen(discover(settings), settings, str(memory))
    examples, report = standard_artifacts.Examples(), IngestReport()
    examples.uri, report.uri = str(into / "examples"), str(into / "report")
    outputs = {"examples": [examples], "report": [report]}
    Executor(beam_context.context(into)).Do({}, outputs, dict(component.exec_properties))
    split_of, group_of = {}, {}
    for split in example_features.SPLITS:
        for record in records.serialized(examples.uri, split):
            features = tf.train.Example.FromString(record.numpy()).features.feature
            assert "signature" not in features
            source = features["source"].bytes_list.value[0].decode()
            split_of[source], group_of[source] = split, features["split_group"].bytes_list.value[0]
    ingest = json.loads((into / "report" / "ingest.json").read_text())
    with (into / "report" / "rejected.csv").open(encoding="utf-8", newline="") as file:
        rejected = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert ingest["files"] == len(split_of) + len(rejected) == sum(1 for path in base.glob("*/*"))
    assert not (into / "report" / "parts").exists()
    return Run(split_of, group_of, ingest, rejected)


def picture(seed: int) -> Image.Image:
    generator = np.random.default_rng(seed)
    small = Image.fromarray(generator.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    return small.resize((96, 96), Image.Resampling.BICUBIC)


def save(base: Path, label: str, number: int, name: str = "") -> Path:
    path = base / label / (name or f"{number}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture({"cat": 0, "dog": 1000, "eel": 2000}[label] + number).save(path)
    return path


def recompress(path: Path, into: Path) -> None:
    buffer = io.BytesIO()
    Image.open(path).resize((80, 80)).save(buffer, "JPEG", quality=70)
    into.write_bytes(buffer.getvalue())


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 60 cats, 30 dogs and 10 eels, and a smaller, recompressed copy of ten of the cats."""
    base = tmp_path_factory.mktemp("photos")
    for label, number in (("cat", 60), ("dog", 30), ("eel", 10)):
        for index in range(number):
            save(base, label, index)
    for index in range(10):
        recompress(base / "cat" / f"{index}.png", base / "cat" / f"copy of {index}.jpg")
    return base


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root") / "split_memory"


@pytest.fixture(scope="module")
def first(base: Path, memory: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return execute(base, tmp_path_factory.mktemp("first"), memory)


@pytest.fixture
def remembered(first: Run, memory: Path, tmp_path: Path) -> Path:
    """Return a copy of the memory after the first run, for one test."""
    return Path(shutil.copytree(memory, tmp_path / "memory"))


def test_every_class_has_its_shares_even_the_smallest(first):
    assert first.counts("cat") == {"train": 56, "eval": 7, "test": 7}
    assert first.counts("dog") == {"train": 24, "eval": 3, "test": 3}
    assert first.counts("eel") == {"train": 8, "eval": 1, "test": 1}
    assert first.ingest["deviations"] == {}


def test_a_copy_is_in_the_split_and_group_of_its_original(first):
    for index in range(10):
        copy, original = f"cat/copy of {index}.jpg", f"cat/{index}.png"
        assert first.group_of[copy] == first.group_of[original] and first.split_of[copy] == first.split_of[original]
    assert len(set(first.group_of.values())) == 100


def test_adding_ten_percent_moves_no_image_and_keeps_the_shares(first, base, remembered, tmp_path):
    grown = Path(shutil.copytree(base, tmp_path / "grown"))
    for label, start, number in (("cat", 60, 7), ("dog", 30, 3), ("eel", 10, 1)):
        for index in range(start, start + number):
            save(grown, label, index)
    (grown / "cat" / "20.png").rename(grown / "cat" / "renamed.png")
    found = execute(grown, tmp_path / "made", remembered)
    assert len(found.split_of) == 121
    renamed = {**first.split_of, "cat/renamed.png": first.split_of["cat/20.png"]}
    del renamed["cat/20.png"]
    assert {source: found.split_of[source] for source in renamed} == renamed
    for label, images in (("cat", 77), ("dog", 33), ("eel", 11)):
        for split, share in (("train", 0.8), ("eval", 0.1), ("test", 0.1)):
            assert abs(found.counts(label)[split] - share * images) <= 1
    # Without the memory, images move.
    fresh = execute(grown, tmp_path / "fresh", tmp_path / "no memory")
    assert {source: fresh.split_of[source] for source in renamed} != renamed


def test_removing_images_moves_no_other_is_reported_and_they_return_to_their_split(first, base, remembered, tmp_path):
    shrunk = Path(shutil.copytree(base, tmp_path / "shrunk"))
    gone = [source for source, split in first.split_of.items() if source.startswith("dog/") and split == "test"][:2]
    for source in gone:
        (shrunk / source).unlink()
    found = execute(shrunk, tmp_path / "made", remembered)
    assert found.split_of == {source: split for source, split in first.split_of.items() if source not in gone}
    assert found.ingest["deviations"] == {"dog": {"train": [24, 22.4], "eval": [3, 2.8], "test": [1, 2.8]}}
    back = execute(base, tmp_path / "back", remembered)
    assert back.split_of == first.split_of


@pytest.mark.large  # test_grouping.py has a smaller case
def test_dropped_copies_are_listed_but_not_counted_as_unusable(first, base, remembered, tmp_path):
    found = execute(base, tmp_path / "made", remembered, on_duplicates="drop", max_rejected=0.0)
    assert len(found.rejected) == 10 == found.ingest["left_out"] == found.ingest["rejected"]
    assert all("near-duplicate of cat/" in reason for reason in found.rejected.values())
    assert found.split_of.items() <= first.split_of.items() and len(found.split_of) == 100


def test_a_failed_run_does_not_change_the_memory(base, remembered, tmp_path):
    before = sorted(path.name for path in remembered.iterdir() if path.is_dir())
    bad = Path(shutil.copytree(base, tmp_path / "bad"))
    (bad / "cat" / "broken.png").write_bytes(b"no image")
    with pytest.raises(Exception, match="cannot be used as images"):
        execute(bad, tmp_path / "made", remembered, max_rejected=0.0)
    assert (remembered / "latest").read_text() in before
    execute(base, tmp_path / "again", remembered)
    [version] = [path.name for path in remembered.iterdir() if path.is_dir()]
    assert version == (remembered / "latest").read_text() and version not in before


def test_removed_images_are_remembered_and_a_changed_split_replaces_the_old_one(tmp_path):
    folder = str(tmp_path / "memory")
    for splits in ({1: "train", 2: "test"}, {2: "eval", 3: "test"}):
        with beam.Pipeline("FnApiRunner") as pipeline:
            assigned = [
                AssignedImage(bytes([number]) * 32, b"group", split, (File("a", "a", "", group=f"p{number}"),))
                for number, split in splits.items()
            ]
            images = pipeline | "Assigned" >> beam.Create(assigned)
            version = split_memory.write(split_memory.read(pipeline, folder), images, folder)
        split_memory.commit(folder, version)
    lines = [line for path in (tmp_path / "memory" / version).iterdir() for line in path.read_text().splitlines()]
    named = [f"{name_id(group).hex()} {split}" for group, split in (("p1", "train"), ("p2", "test"), ("p3", "test"))]
    assert sorted(lines) == sorted([f"{'01' * 32} train", f"{'02' * 32} eval", f"{'03' * 32} test", *named])


@pytest.mark.large  # test_grouping.py has a smaller case
def test_images_of_a_named_group_are_in_one_split_over_nights(tmp_path):
    base, memory = tmp_path / "photos", tmp_path / "memory"
    for label in ("cat", "dog"):
        for number in range(24):
            save(base, label, number, f"p{number // 2}_{number}.png")  # of twelve patients, each with cats and dogs
    first = execute(base, tmp_path / "first", memory, group=r"/p(\d+)_")

    def splits(run: Run) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for source, split in run.split_of.items():
            found.setdefault(source.split("/p")[1].split("_")[0], set()).add(split)
        return found

    assert all(len(found) == 1 for found in splits(first).values()) and first.ingest["largest_group"][0] == 4
    assert set().union(*splits(first).values()) == {"train", "eval", "test"}
    save(base, "cat", 100, "p3_100.png")
    save(base, "cat", 101, "p50_101.png")
    (base / "cat" / "p4_8.png").rename(base / "cat" / "nobody.png")
    second = execute(base, tmp_path / "second", memory, group=r"/p(\d+)_")
    assert all(len(found) == 1 for found in splits(second).values())
    assert splits(second)["3"] == splits(first)["3"]
    assert second.rejected == {"cat/nobody.png": r"data.group does not match its path: /p(\d+)_"}


def test_a_group_may_have_most_images_of_ready_splits(tmp_path):
    base = tmp_path / "photos"
    for split, patient, images in (("train", 1, 6), ("eval", 2, 1), ("test", 3, 1)):
        for label in ("cat", "dog"):
            for number in range(images):
                save(base / split, label, 10 * patient + number, f"p{patient}_{number}.png")
    settings = DataSettings(path=str(base), min_examples_per_class=1, group=r"/p(\d+)_")
    component = ImageExampleGen(discover(settings), settings)
    examples, report = standard_artifacts.Examples(), IngestReport()
    examples.uri, report.uri = str(tmp_path / "examples"), str(tmp_path / "report")
    outputs = {"examples": [examples], "report": [report]}
    Executor(beam_context.context(tmp_path)).Do({}, outputs, dict(component.exec_properties))
    ingest = json.loads((tmp_path / "report" / "ingest.json").read_text())
    assert ingest["accepted"] == 16 and ingest["largest_group"] is None

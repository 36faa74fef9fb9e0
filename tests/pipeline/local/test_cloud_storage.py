"""Places on `gs://`, by TensorFlow's and Beam's own clients of it, against a stand-in for Google Cloud Storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgetune.modules.contracts.bundle import CHECKSUMS
from edgetune.modules.core.errors import ConfigError, DataError, PushError
from edgetune.modules.data.sources import discover
from edgetune.modules.examples import shards
from edgetune.modules.release.release import EDGE, SAVED_MODEL, Places, release
from edgetune.modules.settings.run import DataSettings
from edgetune.modules.storage import filesystem
from edgetune.pipeline.preflight.urls import check_places
from tests.fakes.storage_server import Served, serving

BUCKETS = ["one", "two", "three", "four", "five", "six", "seven"]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(set(BUCKETS), tmp_path_factory.mktemp("keys")) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment().items():
            patch.setenv(name, value)
        yield running


@pytest.fixture
def bucket(storage: Served) -> str:
    """One that no other test uses: TensorFlow remembers for some seconds what it saw."""
    return BUCKETS.pop()


def test_a_place_that_can_be_written_is_left_as_it_was(storage, bucket):
    check_places({"push.edge": f"gs://{bucket}/phones", "state.root": f"gs://{bucket}/runs/"}, [])
    assert storage.names(bucket) == []
    clients = {asked.headers["user-agent"].partition("/")[0] for asked in storage.asked() if bucket in asked.path}
    assert clients == {"TSL", "apache-beam"}


def test_a_bucket_that_is_not_there_is_told_at_once(storage):
    before = len(storage.asked())
    for key in ("state.root", "push.edge"):
        with pytest.raises(ConfigError) as caught:
            check_places({key: "gs://mistyped/models"}, [])
        assert caught.value.cause == (
            f"{key} gs://mistyped/models: cannot be written: 404 The specified bucket does not exist."
        )
        assert caught.value.remedy.startswith("check the bucket, and that this machine is signed in")
    assert len(storage.asked()) - before < 20


def test_a_place_where_nothing_may_be_written_is_told_in_googles_words(storage, bucket):
    storage.refuse(bucket)
    with pytest.raises(ConfigError, match="cannot be written: 403 someone does not have storage.objects.create access"):
        check_places({"push.saved_model": f"gs://{bucket}/served"}, [])


def test_images_in_a_bucket_are_found_and_a_wrong_path_is_told(storage, bucket):
    for number in range(10):
        for label in ("owl", "jay"):
            storage.put(bucket, f"photos/{label}/{number}.jpg", b"")
    source = discover(DataSettings(path=f"gs://{bucket}/photos/"))
    assert (source.kind, source.base, source.patterns) == ("images", f"gs://{bucket}/photos", {"all": "*/*"})
    with pytest.raises(DataError, match=f"gs://{bucket}/fotos does not exist"):
        discover(DataSettings(path=f"gs://{bucket}/fotos"))


def models(folder: Path) -> dict[str, str]:
    """Return folders with files of both models; those that make a version complete are not the last by their names."""
    for name in (
        "edge/labels.txt",
        f"edge/{CHECKSUMS}",
        "edge/golden/expected.json",
        "model/saved_model.pb",
        "model/v",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return {EDGE: str(folder / "edge"), SAVED_MODEL: str(folder / "model")}


def test_what_makes_a_version_complete_is_written_last_and_the_marker_after_both(storage, bucket, tmp_path):
    places = Places(f"gs://{bucket}/phones/", f"gs://{bucket}/served")
    version = release(models(tmp_path / "made"), places, "birds").version
    # Only files, and none of the places that stand for folders: a reader would have to know them.
    assert storage.names(bucket) == [
        f"phones/{version}/golden/expected.json",
        f"phones/{version}/labels.txt",
        f"phones/{version}/{CHECKSUMS}",
        f"served/{version}/v",
        f"served/{version}/saved_model.pb",
        f"phones/releases/{version}.json",
    ]
    assert storage.content(bucket, f"phones/{version}/labels.txt") == b"edge/labels.txt"
    assert release(models(tmp_path / "made"), places, "birds").version == version
    (tmp_path / "made" / "model" / "v").write_text("another")
    assert release({name: str(tmp_path / "made" / name.replace("saved_", "")) for name in (EDGE, SAVED_MODEL)},
                   places, "birds").version > version  # fmt: skip


@pytest.mark.parametrize("last", ["/labels.txt", "/saved_model.pb"])
def test_of_a_push_that_fails_nothing_is_left(storage, bucket, tmp_path, last):
    storage.refuse(bucket, last)
    with pytest.raises(PushError, match="the push failed: 403 someone does not have storage.objects.create access"):
        release(models(tmp_path / "made"), Places(f"gs://{bucket}/phones", f"gs://{bucket}/served"), "birds")
    written = [asked.query.get("name", "") for asked in storage.asked() if bucket in asked.path]
    assert any(name.endswith("golden/expected.json") for name in written)
    assert storage.names(bucket) == []


def test_exactly_the_shards_that_were_written_are_read(storage, bucket):
    uri, names = f"gs://{bucket}/examples/1", [f"data-{number:05}-of-00002.gz" for number in range(2)]
    for split in ("train", "test"):
        for name in names:
            storage.put(bucket, f"examples/1/Split-{split}/{name}", b"shard")
    records = {"train": 9, "test": 1}
    digest = shards.write(uri, records)
    assert shards.check(uri, digest) == records
    assert shards.files(uri, "test") == [f"{uri}/Split-test/{name}" for name in names]
    storage.put(bucket, "examples/1/Split-train/data-00000-of-00001.gz", b"shard")
    with pytest.raises(DataError, match=f"{uri}/Split-train/data-00000-of-00001.gz: was not written with the artifact"):
        shards.check(uri, digest)
    # Of another artifact with the same record, a shard was cut.
    other = f"gs://{bucket}/examples/2"
    for split in ("train", "test"):
        for name in names:
            storage.put(bucket, f"examples/2/Split-{split}/{name}", b"shar" if name == names[1] else b"shard")
    filesystem.write(f"{other}/{shards.SHARDS_FILE}", filesystem.read(f"{uri}/{shards.SHARDS_FILE}"))
    with pytest.raises(DataError, match=f"{other}/Split-test/{names[1]}: has 4 bytes instead of the 5"):
        shards.check(other, digest)
    filesystem.make_empty(uri)
    assert [name for name in storage.names(bucket) if name.startswith("examples/1/S")] == []
    with pytest.raises(DataError, match=f"{uri}/shards.json: cannot be read"):
        shards.check(uri, digest)

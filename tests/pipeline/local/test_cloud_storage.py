"""Places on `gs://`, by TensorFlow's and Beam's own clients of it, against a stand-in for Google Cloud Storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgetune.modules.contracts.bundle import CHECKSUMS
from edgetune.modules.core.errors import ConfigError, DataError, PushError
from edgetune.modules.data.sources import discover
from edgetune.modules.examples import shards
from edgetune.modules.settings.run import DataSettings
from edgetune.modules.storage import filesystem
from edgetune.modules.storage.versions import push
from edgetune.pipeline.preflight.urls import check_places
from tests.fakes.storage_server import Served, serving

BUCKETS = ["one", "two", "three", "four", "five", "six"]


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


def bundle(folder: Path) -> Path:
    """Files of a bundle; the one that makes a version complete is not the last by its name."""
    for name in ("labels.txt", CHECKSUMS, "golden/expected.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_what_makes_a_version_complete_is_written_last(storage, bucket, tmp_path):
    first = push(str(bundle(tmp_path / "made")), f"gs://{bucket}/phones/", last=CHECKSUMS)
    assert first.path == f"gs://{bucket}/phones/{first.version}"
    version = f"phones/{first.version}"
    # Only files, and none of the places that stand for folders: a reader would have to know them.
    assert storage.names(bucket) == [
        f"{version}/golden/expected.json",
        f"{version}/labels.txt",
        f"{version}/{CHECKSUMS}",
    ]
    assert storage.content(bucket, f"{version}/labels.txt") == b"labels.txt"
    second = push(str(tmp_path / "made"), f"gs://{bucket}/phones", last=CHECKSUMS)
    assert int(second.version) > int(first.version)


def test_of_a_push_that_fails_nothing_is_left(storage, bucket, tmp_path):
    storage.refuse(bucket, "/labels.txt")
    with pytest.raises(PushError, match="the push failed: 403 someone does not have storage.objects.create access"):
        push(str(bundle(tmp_path / "made")), f"gs://{bucket}/phones", last=CHECKSUMS)
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

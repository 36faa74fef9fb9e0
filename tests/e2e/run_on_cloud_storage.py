"""Runs with everything on `gs://`: a complete one, one served from the cache, and a hundred releases by two at once."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgetune.modules.bundle.verify import verify
from edgetune.modules.data.digits import write_digits
from edgetune.pipeline.metadata.outcome import CACHED, COMPLETE, read_outcome
from tests.fakes.storage_server import Served, serving

SETTINGS = (
    "name=digits",
    "model.image_size=48",
    "training.batch_size=16",
    "training.head.epochs=4",
    "training.fine_tune.epochs=1",
    "training.baselines=[]",
    "evaluation.min_accuracy=0.7",
    "evaluation.min_test_images=2",
    "evaluation.min_test_images_per_class=1",
    "edge.variants=[float32]",
    "edge.max_accuracy_drop=0.2",
    "state.root=gs://runs/edgetune",
    "push.saved_model=gs://served/digits",
    "push.edge=gs://served/phones",
)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a bucket with thirty images of each of two digits."""
    with serving({"photos", "runs", "served", "both"}, tmp_path_factory.mktemp("keys")) as running:
        everything = write_digits(tmp_path_factory.mktemp("all") / "digits")
        for digit in "01":
            for path in sorted((everything / digit).iterdir())[:30]:
                running.put("photos", f"digits/{digit}/{path.name}", path.read_bytes())
        yield running


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workdir")


def run(root: Path, storage: Served, workdir: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "edgetune.pipeline.cli",
        "run",
        "--config",
        "configs/demo.yaml",
        "--workdir",
        str(workdir),
    ]
    command += ["--data", "gs://photos/digits", *(part for setting in SETTINGS for part in ("--set", setting))]
    environment = {**os.environ, **storage.environment()}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=900)


def files(storage: Served) -> list[list[str]]:
    """Return the written objects, without the folder placeholders that TFX creates for every execution."""
    return [[name for name in storage.names(bucket) if not name.endswith("/")] for bucket in ("runs", "served")]


def test_a_run_with_everything_in_buckets_pushes_a_complete_bundle(root, storage, workdir, tmp_path):
    done = run(root, storage, workdir)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = read_outcome(workdir / "tfx_metadata" / "digits" / "metadata.db", "digits")
    assert {node.state for node in outcome.nodes} == {COMPLETE}
    assert not (workdir / "tfx_pipeline_output").exists()
    uris = {made.uri for node in outcome.nodes for artifacts in node.outputs.values() for made in artifacts}
    assert all(uri.startswith("gs://runs/edgetune/digits/") for uri in uris)

    [last, *_] = reversed(storage.names("served", "digits/"))
    assert last.endswith("/saved_model.pb")
    *names, marker = storage.names("served", "phones/")
    assert names[-1].endswith("/SHA256SUMS") and marker.startswith("phones/releases/")
    for name in names:
        path = tmp_path / name.split("/", 2)[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(storage.content("served", name))
    verify(tmp_path)
    assert (tmp_path / "model_float32.tflite").stat().st_size > 1_000_000


def test_an_unchanged_run_is_served_from_the_bucket(root, storage, workdir):
    before = files(storage)
    done = run(root, storage, workdir)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = read_outcome(workdir / "tfx_metadata" / "digits" / "metadata.db", "digits")
    resolvers = {"Baseline", "BaselineStatistics"}
    assert {node.id for node in outcome.nodes if node.state != CACHED} == resolvers
    assert files(storage) == before


RELEASE_OFTEN = """
import sys
from pathlib import Path
from edgetune.modules.release.release import EDGE, SAVED_MODEL, Places, release

name, folder, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
for number in range(rounds):
    sources = {EDGE: folder / f"{name}{number}" / "edge", SAVED_MODEL: folder / f"{name}{number}" / "model"}
    for key, files in ((EDGE, ["labels.txt", "SHA256SUMS"]), (SAVED_MODEL, ["v/v", "saved_model.pb"])):
        for file in files:
            source = sources[key]
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            (source / file).write_text(f"{name} {number}")
    places = Places("gs://both/phones", "gs://both/models")
    made = release({key: str(path) for key, path in sources.items()}, places, name)
    print(made.version, flush=True)
"""


def test_two_that_release_at_once_lose_nothing(root, storage, tmp_path):
    rounds, environment = 50, {**os.environ, **storage.environment()}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", RELEASE_OFTEN, name, str(tmp_path), str(rounds)],
            cwd=root, env=environment, stdout=subprocess.PIPE, text=True,
        )
        for name in ("one", "other")
    ]  # fmt: skip
    said = [process.communicate(timeout=900)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    numbers = {int(number): name for name, found in zip(("one", "other"), said, strict=True) for number in found}
    assert len(numbers) == 2 * rounds
    wanted = ("phones/{}/labels.txt", "phones/{}/SHA256SUMS", "models/{}/v/v", "models/{}/saved_model.pb")
    files = {pattern.format(number) for number in numbers for pattern in wanted}
    markers = {f"phones/releases/{number}.json" for number in numbers}
    assert {name for name in storage.names("both") if not name.endswith("/")} == files | markers
    for number, name in numbers.items():
        contents = {storage.content("both", pattern.format(number)) for pattern in wanted}
        assert len(contents) == 1, "both models and all of their files are of one release"
        [content] = contents
        assert content.decode().split()[0] == name
        marker = json.loads(storage.content("both", f"phones/releases/{number}.json"))
        assert (marker["version"], marker["pipeline"]) == (number, name)
        digest = hashlib.sha256(content).hexdigest()
        assert {*marker["edge"]["files"].values(), *marker["saved_model"]["files"].values()} == {digest}

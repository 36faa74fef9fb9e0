"""A complete run with images, artifacts and pushed models on `gs://`, and a second run served from the cache."""

from __future__ import annotations

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
    with serving({"photos", "runs", "served"}, tmp_path_factory.mktemp("keys")) as running:
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
    names = storage.names("served", "phones/")
    assert names[-1].endswith("/SHA256SUMS")
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

"""Places behind URLs: what a run can know of them before it begins, and the report of artifacts that lie there."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import tensorflow as tf

from edgetune.modules.core.errors import ConfigError
from edgetune.pipeline.metadata.outcome import Outcome
from edgetune.pipeline.preflight.urls import check_places
from edgetune.pipeline.report import summary
from edgetune.pipeline.report.collect import collect
from tests.pipeline.report.test_report import record_run, settings


def moved(outcome: Outcome, folder: Path) -> Outcome:
    """Return the run with all of its artifacts behind a URL."""
    root = f"ram://{folder.name}"  # of its own: a file that is written anew keeps the end of a longer one there
    for path in folder.rglob("*"):
        if path.is_file():
            target = f"{root}/{path.relative_to(folder)}"
            tf.io.gfile.makedirs(target.rpartition("/")[0])
            tf.io.gfile.copy(str(path), target, overwrite=True)
            path.unlink()
    nodes = []
    for node in outcome.nodes:
        outputs = {
            key: tuple(dataclasses.replace(made, uri=made.uri.replace(str(folder), root)) for made in artifacts)
            for key, artifacts in node.outputs.items()
        }
        nodes.append(dataclasses.replace(node, outputs=outputs))
    return dataclasses.replace(outcome, nodes=tuple(nodes))


def test_the_report_of_artifacts_behind_a_url_has_every_section(tmp_path):
    outcome = record_run(tmp_path)
    here = collect(outcome, settings())
    assert here.absent == {}
    lines = summary(outcome, report=None)
    there = moved(outcome, tmp_path)
    # Nothing is left where it was, and no version is served from there.
    assert collect(outcome, settings()).sections == {"serving": []}
    assert collect(there, settings()) == here
    assert summary(there, report=None) == lines


def test_a_refusal_behind_a_url_says_why(tmp_path):
    reasons = ["agreement 0.93 is below edge.min_agreement 0.97"]
    variants = {"float32": {"blessed": False, "reasons": reasons, "accuracy": 0.9, "agreement": 0.93, "bytes": 1}}
    variants["float32"]["latency"] = None
    there = moved(record_run(tmp_path, variants=variants), tmp_path)
    assert there.reasons == [f"required edge variant float32: {reasons[0]}"]


def test_places_that_can_be_written_are_left_as_they_were(tmp_path):
    check_places(
        {"push.saved_model": "ram://served/models", "push.edge": str(tmp_path / "absent"), "state.root": None}, []
    )
    assert tf.io.gfile.listdir("ram://served/models") == []
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    ("key", "place", "remedy"),
    [
        ("push.edge", "s3://bucket/edge", "tensorflow-io and boto3"),
        ("push.edge", "nowhere://bucket/edge", "is one that TensorFlow and Beam know"),
        ("state.root", "ram://root", "is one that TensorFlow and Beam know"),  # TensorFlow knows it, Beam does not
    ],
)
def test_a_place_that_cannot_be_written_is_an_error_that_names_its_setting(key, place, remedy):
    with pytest.raises(ConfigError) as caught:
        check_places({key: place}, [])
    assert caught.value.cause.startswith(f"{key} {place}: cannot be written: ")
    assert remedy in caught.value.remedy

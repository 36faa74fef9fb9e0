"""ImageExampleGen on a platform: the data source and its fingerprint are determined where the component runs."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from PIL import Image

from edgetune.components.image_example_gen import ImageExampleGen
from edgetune.components.image_example_gen.deferred_source import DEFERRED, resolve_source
from edgetune.modules.core.errors import DataError
from edgetune.modules.data.digits import EMBEDDED
from edgetune.modules.data.sources import discover
from edgetune.modules.settings.run import DataSettings
from edgetune.pipeline.kubeflow import pre_cache_check


def photos(folder: Path, *splits: str) -> Path:
    for split in splits or ("",):
        for number, label in enumerate(("cat", "dog")):
            path = folder / split / label / "1.png"
            path.parent.mkdir(parents=True)
            Image.new("RGB", (9, 9), (number, 7, 7)).save(path)
    return folder


def properties(path: str, known: bool = False, **changes: object) -> dict:
    settings = DataSettings(path=path, **{"min_examples_per_class": 1, **changes})
    return dict(ImageExampleGen(discover(settings) if known else None, settings).exec_properties)


@pytest.mark.parametrize("splits", [(), ("train", "val", "test"), ("Training", "Testing")])
def test_a_deferred_source_gets_the_same_properties_as_a_known_one(tmp_path, splits):
    path = str(photos(tmp_path, *splits))
    deferred, known = properties(path), properties(path, known=True)
    assert deferred["source_kind"] == DEFERRED
    resolve_source(deferred)
    for key in ("tfrecord_pattern", "min_examples_per_class"):  # only needed to resolve the source
        del deferred[key]
    assert {key: _json(value) for key, value in deferred.items()} == {key: _json(value) for key, value in known.items()}
    resolve_source(known)
    assert known == properties(path, known=True)


def _json(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def test_the_embedded_digits_are_written_where_the_component_runs():
    found = properties(EMBEDDED)
    resolve_source(found)
    folder = Path(found["input_base"])
    assert {path.name for path in folder.iterdir()} == set("0123456789")
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize(
    ("changes", "message"), [({}, "does not exist"), ({"min_examples_per_class": 2}, "fewer than 2 images")]
)
def test_the_component_fails_on_unusable_data(tmp_path, changes, message):
    path = photos(tmp_path) if changes else tmp_path / "absent"
    with pytest.raises(DataError, match=message):
        resolve_source(properties(str(path), **changes))


def hook(folder: Path, path: str, **changes: object) -> str:
    """Call the hook as Vertex does, and return its fingerprint."""
    output = folder / "task" / "executor_output.json"
    values = {key: value for key, value in properties(path, **changes).items() if value is not None}
    given = {"inputs": {"parameterValues": values}, "outputs": {"outputFile": str(output)}}
    kinds = {key: "NUMBER_INTEGER" if isinstance(value, int) else "STRING" for key, value in values.items()}
    inputs = {"parameters": {key: {"parameterType": kind} for key, kind in kinds.items()}}
    pre_cache_check.main(
        [
            "--json_serialized_invocation_args",
            json.dumps(given),
            "--json_serialized_inputs_spec_args",
            json.dumps(inputs),
            "--runner=FnApiRunner",
        ]
    )
    answer = json_format.Parse(output.read_text(), pipeline_spec_pb2.ExecutorOutput())
    assert set(answer.parameter_values) == {"input_fingerprint"}
    return answer.parameter_values["input_fingerprint"].string_value


def test_the_fingerprint_changes_with_names_labels_and_times_of_files(tmp_path):
    base = photos(tmp_path / "photos")
    before = hook(tmp_path, str(base))
    assert hook(tmp_path, str(base)) == before and len(before) == 64
    seen = {before}
    (base / "cat" / "1.png").rename(base / "cat" / "2.png")
    seen.add(hook(tmp_path, str(base)))
    (base / "cat" / "2.png").rename(base / "dog" / "2.png")
    Image.new("RGB", (9, 9)).save(base / "cat" / "3.png")
    seen.add(hook(tmp_path, str(base)))
    os.utime(base / "cat" / "3.png", (1, 1))
    seen.add(hook(tmp_path, str(base)))
    assert len(seen) == 4


def test_the_hook_reports_bad_data_without_a_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        hook(tmp_path, str(tmp_path / "absent"))
    assert ended.value.code == DataError.exit_code
    assert "absent does not exist\n  remedy: " in capsys.readouterr().err


def test_the_fingerprint_of_the_embedded_digits_is_constant(tmp_path):
    assert hook(tmp_path, EMBEDDED) == hook(tmp_path, EMBEDDED)

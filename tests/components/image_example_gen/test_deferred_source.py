"""ImageExampleGen on a platform: what the data is, and whether they changed, is found out where the component runs."""

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
from edgetune.components.image_example_gen.deferred_source import LATER, find
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


@pytest.mark.parametrize("splits", [(), ("train", "val", "test")])
def test_what_is_found_late_is_what_is_found_early(tmp_path, splits):
    path = str(photos(tmp_path, *splits))
    late, early = properties(path), properties(path, known=True)
    assert late["source_kind"] == LATER
    find(late)
    for key in ("tfrecord_pattern", "min_examples_per_class"):  # what finding it needs
        del late[key]
    assert {key: _json(value) for key, value in late.items()} == {key: _json(value) for key, value in early.items()}
    find(early)
    assert early == properties(path, known=True)


def _json(value: object) -> object:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def test_the_embedded_digits_are_written_where_the_component_runs():
    found = properties(EMBEDDED)
    find(found)
    folder = Path(found["input_base"])
    assert {path.name for path in folder.iterdir()} == set("0123456789")
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize(
    ("changes", "message"), [({}, "does not exist"), ({"min_examples_per_class": 2}, "fewer than 2 images")]
)
def test_data_that_no_run_could_use_end_the_component(tmp_path, changes, message):
    path = photos(tmp_path) if changes else tmp_path / "absent"
    with pytest.raises(DataError, match=message):
        find(properties(str(path), **changes))


def hook(folder: Path, path: str, **changes: object) -> str:
    """The fingerprint that the hook answers with, called as Vertex calls it."""
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


def test_the_hook_sees_what_changes_what_the_component_puts_out(tmp_path):
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


def test_the_hook_tells_what_is_wrong_with_the_data_without_a_traceback(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        hook(tmp_path, str(tmp_path / "absent"))
    assert ended.value.code == DataError.exit_code
    assert "absent does not exist\n  remedy: " in capsys.readouterr().err


def test_the_embedded_digits_are_always_the_same_to_the_hook(tmp_path):
    assert hook(tmp_path, EMBEDDED) == hook(tmp_path, EMBEDDED)

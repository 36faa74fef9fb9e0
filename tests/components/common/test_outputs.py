"""Every executor starts from empty output folders, and checks the examples that it is given before it reads them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tfx import types
from tfx.types import standard_artifacts

from edgetune.components.common.outputs import empty
from edgetune.components.cross_validator.executor import Executor as CrossValidator
from edgetune.components.data_validation.executor import StatisticsExecutor
from edgetune.components.dataset_gate.executor import Executor as DatasetGate
from edgetune.components.edge_evaluator.executor import Executor as EdgeEvaluator
from edgetune.components.edge_exporter.executor import Executor as EdgeExporter
from edgetune.components.evaluator.executor import Executor as Evaluator
from edgetune.components.infra_validator.executor import Executor as InfraValidator
from edgetune.components.label_reviewer.executor import Executor as LabelReviewer
from edgetune.components.transform.executor import Executor as Transform
from edgetune.components.two_phase_trainer.executor import Executor as TwoPhaseTrainer
from edgetune.modules.core.errors import DataError
from tests.helpers import recorded_shards
from tests.helpers.damaged_folders import DAMAGES
from tests.tiny import model

RAW = {
    "StatisticsGen": StatisticsExecutor,
    "DatasetGate": DatasetGate,
    "LabelReviewer": LabelReviewer,
    "Transform": Transform,
    "CrossValidator": CrossValidator,
    "Evaluator": Evaluator,
    "EdgeEvaluator": EdgeEvaluator,
    "InfraValidator": InfraValidator,
}
TRANSFORMED = {"TwoPhaseTrainer": TwoPhaseTrainer, "EdgeExporter": EdgeExporter}


def artifact(uri: Path) -> types.Artifact:
    made = standard_artifacts.Examples()
    made.uri = str(uri)
    return made


@pytest.fixture
def examples(tmp_path, request) -> types.Artifact:
    pairs = [(model.image("red", 1), "red")]
    for split in ("train", "eval", "test"):
        if request.param == "raw":
            model.write_raw(tmp_path / "examples", split, [(model.png(pixels), label) for pixels, label in pairs])
        else:
            model.write_transformed(tmp_path / "examples", split, pairs)
    return recorded_shards.stamp(artifact(tmp_path / "examples"))


@pytest.mark.parametrize(
    ("executor", "examples", "key"),
    [
        *((executor, "raw", "examples") for executor in RAW.values()),
        *((executor, "transformed", "transformed_examples") for executor in TRANSFORMED.values()),
    ],
    indirect=["examples"],
    ids=[*RAW, *TRANSFORMED],
)
def test_examples_that_are_not_as_written_are_refused_by_every_reader(executor, examples, key):
    # Nothing else is given, so that anything read before the check would be another error.
    do = executor().Do
    with pytest.raises(Exception) as passed:  # noqa: PT011 - what is missing depends on the executor
        do({key: [examples]}, {}, {})
    assert not isinstance(passed.value, DataError)
    folder = Path(examples.uri)
    for damage, cause in DAMAGES.values():
        kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        path = damage(folder)
        with pytest.raises(DataError) as caught:
            do({key: [examples]}, {}, {})
        assert caught.value.cause.startswith(f"{path}: ") and cause in caught.value.cause
        empty({"": [examples]})
        for file, content in kept.items():
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)


def test_leftovers_are_removed_and_links_are_not_followed(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").touch()
    folder = tmp_path / "1"
    (folder / "Split-train").mkdir(parents=True)
    (folder / "Split-train" / "data-00000-of-00001.gz").touch()
    (folder / "link").symlink_to(tmp_path / "photos")
    (folder / "dangling").symlink_to(tmp_path / "nothing")
    empty({"examples": [artifact(folder), artifact(tmp_path / "not made")], "blessing": [standard_artifacts.Model()]})
    assert list(folder.iterdir()) == []
    assert (tmp_path / "photos" / "1.jpg").exists()
    assert not (tmp_path / "not made").exists()


def called(function: ast.FunctionDef) -> list[str]:
    names = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
    return [name.id for name in names if isinstance(name, ast.Name)]


def test_every_executor_empties_its_outputs_and_those_with_examples_check_them(root):
    checked = set()
    for path in sorted((root / "components").glob("*/executor.py")):
        executors = [
            node
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef) and node.name == "Do"
        ]
        assert executors, path
        for function in executors:
            assert "empty" in called(function), f"{path} starts from folders that may have files"
            if "check_examples" in called(function):
                checked.add(path.parent.name)
    readers = {
        path.parent.name
        for path in (root / "components").glob("*/executor.py")
        if "EXAMPLES_KEY" in path.read_text(encoding="utf-8") or '"transformed_examples"' in path.read_text("utf-8")
    }
    assert checked == readers - {"image_example_gen"}  # which writes them

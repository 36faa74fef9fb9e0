"""The entry point of containers: TFX's own, with artifact types added if the platform does not pass them."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types import standard_artifacts

from edgetune.components.common.artifacts import EdgeModel
from edgetune.modules.core.errors import DataError, MachineError
from edgetune.pipeline.kubeflow import container_entry

DECLARED = {
    "artifacts": {
        "edge_model": {"artifactType": {"instanceSchema": "title: edgetune.EdgeModel\ntype: object\n"}},
        "model": {"artifactType": {"instanceSchema": "title: tfx.Model\ntype: object\n"}},
    },
    "parameters": {"epochs": {"parameterType": "NUMBER_INTEGER"}, "rate": {"parameterType": "NUMBER_DOUBLE"}},
}
calls: list[tuple[dict[str, list[types.Artifact]], dict[str, object]]] = []


class Recorder(BaseExecutor):
    """Executor that records its arguments and sets a property, or fails like a component with bad user data."""

    def Do(self, input_dict, output_dict, exec_properties):
        if exec_properties["epochs"] == 13:
            raise DataError("thirteen are too many", "take twelve")
        if exec_properties["epochs"] == 14:
            raise OSError(errno.ENOSPC, "No space left on device", "/disk/model")
        if exec_properties["epochs"] == 15:
            raise ZeroDivisionError("a defect")
        calls.append((input_dict, exec_properties))
        output_dict["blessing"][0].set_int_custom_property("blessed", 1)


def enter(folder: Path, **changes: object) -> dict:
    """Call the entry point as Kubeflow's launcher does: without types, and with numbers for names."""
    output = folder / "output_metadata.json"
    given = {
        "inputs": {
            "parameterValues": {"epochs": 3, "rate": 0.5, **changes},
            "artifacts": {
                "edge_model": {"artifacts": [{"name": "7", "uri": "/e", "metadata": {"code_digest": "x"}}]},
                "model": {"artifacts": [{"name": "8", "uri": "/m", "type": {"schemaTitle": "tfx.Model"}}]},
            },
        },
        "outputs": {
            "artifacts": {"blessing": {"artifacts": [{"uri": "/b", "type": {"schemaTitle": "tfx.ModelBlessing"}}]}},
            "outputFile": str(output),
        },
    }
    with pytest.raises(SystemExit) as ended:
        container_entry.main(
            [
                *("--executor_class_path", f"{__name__}.Recorder"),
                *("--json_serialized_invocation_args", json.dumps(given)),
                *("--json_serialized_inputs_spec_args", json.dumps(DECLARED)),
                "--runner=FnApiRunner",
            ]
        )
    return {"code": ended.value.code, "output": json.loads(output.read_text()) if output.exists() else None}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Make this file importable by name for TFX, which it is not under importlib's mode of collection."""
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this())
    calls.clear()


def _this():
    import types as python_types

    module = python_types.ModuleType(__name__)
    module.__dict__.update(globals())
    return module


def test_artifacts_without_a_type_get_the_declared_one(tmp_path):
    ended = enter(tmp_path)
    assert ended["code"] in (None, 0)
    [(inputs, properties)] = calls
    [edge_model], [model] = inputs["edge_model"], inputs["model"]
    assert isinstance(edge_model, EdgeModel) and isinstance(model, standard_artifacts.Model)
    assert edge_model.get_string_custom_property("code_digest") == "x"
    assert properties == {"epochs": 3, "rate": 0.5} and type(properties["epochs"]) is int
    [blessing] = ended["output"]["artifacts"]["blessing"]["artifacts"]
    assert blessing["metadata"]["blessed"] == 1


def test_a_user_error_is_reported_without_a_traceback(tmp_path, capfd):
    ended = enter(tmp_path, epochs=13)
    assert ended == {"code": DataError.exit_code, "output": None}
    said = capfd.readouterr().err
    assert "edgetune: thirteen are too many\n  remedy: take twelve\n" in said
    assert "Traceback" not in said


def test_a_fault_of_the_machine_has_its_code_and_its_traceback(tmp_path, capfd):
    assert enter(tmp_path, epochs=14) == {"code": MachineError.exit_code, "output": None}
    said = capfd.readouterr().err
    assert "Traceback" in said and "edgetune: /disk/model: the disk is full\n  remedy: " in said
    with pytest.raises(ZeroDivisionError):
        enter(tmp_path, epochs=15)


def test_a_type_from_the_platform_is_not_changed():
    given = {"inputs": {"artifacts": {"model": {"artifacts": [{"type": {"schemaTitle": "tfx.Model"}}]}}}}
    assert json.loads(container_entry.add_types(json.dumps(given), json.dumps(DECLARED))) == given

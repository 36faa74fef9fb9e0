"""InfraValidator: a model that does not serve as it was measured gets no blessing."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tfx import types
from tfx.types import standard_artifacts

from edgetune.components.common import measured_files
from edgetune.components.common.artifacts import InfraBlessing, IngestReport
from edgetune.components.infra_validator import InfraValidator
from edgetune.components.infra_validator.executor import Executor
from edgetune.modules.core.errors import DataError
from edgetune.modules.evaluation.gates import read_gates, refused
from edgetune.modules.serving import infra_check
from edgetune.modules.serving.infra_check import Bounds, Result
from edgetune.modules.serving.infra_probe import Examination, Findings, Request
from edgetune.modules.settings.run import InfraSettings
from tests.helpers import recorded_shards
from tests.tiny import edge, infra, model

MODEL = 31


def component(**settings: int) -> InfraValidator:
    return InfraValidator(
        model=types.Channel(type=standard_artifacts.Model),
        evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
        examples=types.Channel(type=standard_artifacts.Examples),
        report=types.Channel(type=IngestReport),
        settings=InfraSettings(**settings),
    )


def validated(folder: Path, given: infra.Given, **settings: int) -> InfraBlessing:
    """Run the executor, and return the blessing."""
    made: dict[str, types.Artifact] = {
        "model": standard_artifacts.Model(),
        "evaluation": standard_artifacts.ModelEvaluation(),
        "examples": standard_artifacts.Examples(),
        "report": IngestReport(),
    }
    made["model"].uri, made["model"].id = str(folder / "model"), MODEL
    Path(made["model"].uri).mkdir(exist_ok=True)
    Path(made["model"].uri, "Format-Serving").symlink_to(edge.saved_model())
    for name in ("evaluation", "examples", "report"):
        made[name].uri = str(getattr(given, name))
    recorded_shards.stamp(made["examples"])
    blessing = InfraBlessing()
    blessing.uri = str(folder / "blessing")
    inputs = {name: [artifact] for name, artifact in made.items()}
    Executor().Do(inputs, {"blessing": [blessing]}, dict(component(**settings).exec_properties))
    return blessing


def facts(blessing: InfraBlessing) -> dict[str, Any]:
    return dict(json.loads(Path(blessing.uri, "infra.json").read_text()))


@pytest.fixture
def in_this_process(monkeypatch) -> None:
    """Ask the model in the process of the test, which has TensorFlow already."""

    def check(request: Request, bounds: Bounds) -> Result:
        del bounds
        examination = Examination(infra.loaded(str(Path(request.saved_model).resolve())).signatures, request)
        assert list(examination.run())[-1].doing == "done"
        return Result(examination.findings, 12.3, 500 << 20)

    monkeypatch.setattr(infra_check, "check", check)


def test_a_model_that_answers_original_files_as_measured_is_blessed_from_a_process_of_its_own(tmp_path):
    given = infra.write(tmp_path)
    compressed = given.photos / given.sources[0]
    with Image.open(compressed) as image:
        image.save(compressed, compress_level=0)  # other bytes than ingest stored, with the same pixels
    blessing = validated(tmp_path, given)
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_int_custom_property("model_id") == MODEL
    assert blessing.get_string_custom_property("saved_model_sha256") == measured_files.digest(edge.saved_model())
    found = facts(blessing)
    assert found["blessed"] and found["problems"] == [] and found["images"] == 6
    assert found["originals"] == {"asked": 6, "gone": 0, "changed": 0, "records": 0, "refused": 0, "damaged": 0}
    assert found["compared"] == 6 * 7 + 2
    assert found["largest_difference"] < 1e-5 and found["tolerance"] == 0.001
    assert 0 < found["load_seconds"] < found["seconds"] < 600
    assert 100 << 20 < found["peak_memory"] < 8 << 30
    gates = read_gates(blessing.uri)
    assert all(gate.passed and gate.subject == "SavedModel" for gate in gates)
    assert gates[0].sentence() == (
        "problems when it is served 0; infra.originals allows at most 0; 6 of 6 original files asked"
    )


@pytest.mark.usefixtures("in_this_process")
def test_a_model_that_serves_other_answers_than_were_measured_is_refused_and_an_image_is_named(tmp_path):
    given = infra.write(tmp_path, measured=lambda probabilities: probabilities[:, ::-1])
    blessing = validated(tmp_path, given)
    assert blessing.has_custom_property("blessed") and blessing.get_int_custom_property("blessed") == 0
    [problems, difference] = refused(read_gates(blessing.uri))
    assert problems.name == "infra.originals" and problems.measured > 20
    assert "/" in problems.reason and "and the Evaluator measured" in problems.reason
    assert difference.measured > 0.1 and difference.needed == 0.001
    assert facts(blessing)["problems"]


@pytest.mark.usefixtures("in_this_process")
def test_originals_that_cannot_be_asked_are_counted_and_do_not_refuse_the_model(tmp_path):
    files = infra.photographs(3)
    names = list(files)
    pixels = model.image("red", 7)
    webp = io.BytesIO()
    Image.fromarray(pixels).save(webp, "WEBP", lossless=True)
    files["red/photo.webp"] = webp.getvalue()
    files["red/cut.png"] = model.png(model.image("red", 8))[:-2]
    given = infra.write(tmp_path, files)
    (given.photos / names[0]).unlink()
    (given.photos / names[1]).write_bytes(model.png(model.image("green", 99)))
    blessing = validated(tmp_path, given)
    found = facts(blessing)
    assert blessing.get_int_custom_property("blessed") == 1, found["problems"]
    assert found["originals"] == {"asked": 7, "gone": 1, "changed": 1, "records": 0, "refused": 1, "damaged": 1}
    assert {text.partition(": ")[0] for text in found["not_asked"]} == {*names[:2], "red/photo.webp", "red/cut.png"}
    reason = read_gates(blessing.uri)[0].reason
    assert reason == (
        "7 of 11 original files asked (1 gone or not readable, 1 changed since, "
        "1 of a kind that the server must refuse, 1 damaged for TensorFlow, which the server must refuse)"
    )


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("settings", "change", "said"),
    [
        ({"originals": 0}, {}, "stored images only"),
        (
            {},
            {"kind": "tfrecords"},
            "stored images only, since of 6 original files none could be asked (6 in TFRecord files)",
        ),
        (
            {},
            {"base": "/nowhere"},
            "stored images only, since of 6 original files none could be asked (6 gone or not readable)",
        ),
    ],
)
def test_without_any_original_the_stored_images_are_asked_and_that_is_said(tmp_path, settings, change, said):
    given = infra.write(tmp_path)
    source = json.loads((given.report / "source.json").read_text())
    (given.report / "source.json").write_text(json.dumps({**source, **change}))
    blessing = validated(tmp_path, given, **settings)
    assert blessing.get_int_custom_property("blessed") == 1
    assert read_gates(blessing.uri)[0].reason == said
    assert facts(blessing)["compared"] == 6 * 7


@pytest.mark.usefixtures("in_this_process")
def test_at_most_so_many_files_are_asked_as_the_setting_says(tmp_path):
    blessing = validated(tmp_path, infra.write(tmp_path, infra.photographs(4)), originals=5)
    assert facts(blessing)["originals"]["asked"] == facts(blessing)["images"] == 5


def test_a_process_that_ends_early_or_reaches_a_bound_refuses_the_model_for_that_reason_alone(tmp_path, monkeypatch):
    loading = Findings(doing="loading the SavedModel")
    compared = Findings(doing="asking edge: transformed images", compared=3, difference=0.0)
    asked = "6 of 6 original files asked"
    results = [
        (
            Result(loading, 9, 1 << 30, "ended with SIGABRT while loading the SavedModel"),
            "problems when it is served 1; infra.originals allows at most 0; "
            f"the process that serves it ended with SIGABRT while loading the SavedModel; {asked}",
        ),
        (
            Result(compared, 601, 1 << 30),
            "seconds to load it and to ask it everything 601; infra.max_seconds allows at most 600; "
            "stopped while asking edge: transformed images",
        ),
        (
            Result(loading, 9, (8 << 30) + 1),
            "peak memory of the process in MB 8,193; infra.max_memory_mb allows at most 8,192; "
            "stopped while loading the SavedModel",
        ),
        # Says that all was asked and has compared nothing: not a reason to bless.
        (
            Result(Findings("done"), 9, 1 << 30),
            "largest difference of a probability from the measured one – on 6 images; infra allows at most 0.1 %; "
            "nothing was compared",
        ),
    ]
    given = infra.write(tmp_path / "given")
    for number, (result, said) in enumerate(results):
        monkeypatch.setattr(infra_check, "check", lambda request, bounds, result=result: result)
        folder = tmp_path / str(number)
        folder.mkdir()
        blessing = validated(folder, given)
        assert blessing.get_int_custom_property("blessed") == 0
        gates = read_gates(blessing.uri)
        assert [gate.sentence() for gate in refused(gates)] == [said]
        assert gates[0].passed is not True or result.findings.doing == "done"


@pytest.mark.usefixtures("in_this_process")
def test_without_test_images_nothing_is_blessed(tmp_path):
    given = infra.write(tmp_path, infra.photographs(1))
    other = infra.write(tmp_path / "other", {"red/1.png": model.png(model.image("red", 50))})
    mixed = infra.Given(given.photos, other.examples, given.evaluation, given.report, (), given.location)
    blessing = validated(tmp_path, mixed)
    assert blessing.get_int_custom_property("blessed") == 0
    assert facts(blessing)["problems"] == [
        "nothing was asked: the test split has no images",
        "the test split lacks 3 images that the Evaluator has an answer to",
    ]


def test_a_report_that_does_not_say_where_the_files_are_is_an_error(tmp_path):
    given = infra.write(tmp_path)
    (given.report / "source.json").write_text("{}")
    with pytest.raises(DataError, match="source.json: cannot be read"):
        validated(tmp_path, given)


def test_the_properties_are_the_settings_and_the_digest_of_the_code():
    properties = component(originals=5).exec_properties
    assert set(properties) == {"originals", "max_seconds", "max_memory_mb", "code_digest", "library_versions"}
    assert (properties["originals"], properties["max_seconds"], properties["max_memory_mb"]) == (5, 600, 8192)
    assert set(json.loads(properties["library_versions"])) == {"tensorflow", "pillow", "pillow-heif"}

"""ReleasePusher: nothing is pushed without all blessings, each for this model, and both models or neither."""

from __future__ import annotations

import copy
import json
import shutil
from importlib import metadata
from pathlib import Path

import pytest
from tfx import types
from tfx.types import standard_artifacts

from edgetune.components.common import measured_files
from edgetune.components.common.artifacts import (
    ConvertedModel,
    EdgeBlessing,
    EdgeEvaluation,
    EdgeModel,
    InfraBlessing,
    IngestReport,
    PushedBundle,
)
from edgetune.components.common.lineage import stamp
from edgetune.components.edge_evaluator.executor import Executor as EdgeEvaluatorExecutor
from edgetune.components.image_example_gen import ingest_report
from edgetune.components.release_pusher import ReleasePusher
from edgetune.components.release_pusher.executor import Executor
from edgetune.modules.core.errors import ConfigError, PushError
from edgetune.modules.evaluation.gates import from_json
from edgetune.modules.release import marker
from edgetune.modules.release.release import Places, newest
from edgetune.modules.serving import saved_model as saved_model_reader
from edgetune.modules.settings.run import EdgeSettings, PushSettings
from edgetune.modules.storage import filesystem
from tests.helpers import recorded_shards
from tests.helpers.model_blessing import GATES, INFRA_GATES, infra_blessing, model_blessing
from tests.helpers.releases import write_release
from tests.tiny import edge as tiny_edge

MODEL, EDGE_MODEL = 21, 22
TENSORFLOW = metadata.version("tensorflow")


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> dict[str, types.Artifact]:
    """Return a model, its edge model and their evaluation, as the components write them."""
    folder = tmp_path_factory.mktemp("measured")
    model, edge_model, examples = standard_artifacts.Model(), EdgeModel(), standard_artifacts.Examples()
    model.uri, model.id = str(folder / "model"), MODEL
    Path(model.uri).mkdir()
    Path(model.uri, "Format-Serving").symlink_to(tiny_edge.saved_model())
    contents = {"float32": tiny_edge.converted()["float32"]}
    edge_model.uri, edge_model.id = tiny_edge.write_edge_model(folder / "edge", contents), EDGE_MODEL
    edge_model.set_string_custom_property("code_digest", "e" * 64)
    edge_model.set_string_custom_property("variants", "float32")
    examples.uri = tiny_edge.write_test_images(folder / "examples")
    recorded_shards.stamp(examples)
    evaluation, blessing = EdgeEvaluation(), EdgeBlessing()
    evaluation.uri, blessing.uri = str(folder / "evaluation"), str(folder / "blessing")
    EdgeEvaluatorExecutor().Do(
        {"model": [model], "edge_model": [edge_model], "examples": [examples]},
        {"evaluation": [evaluation], "blessing": [blessing]},
        {
            **{
                name: getattr(EdgeSettings(), name) for name in ("max_accuracy_drop", "min_agreement", "max_class_drop")
            },
            "required": ["float32"],
            "precision": 0.95,
            "saliency": 0,
            "code_digest": "f" * 64,
        },
    )
    return {"model": model, "edge_model": edge_model, "edge_evaluation": evaluation, "edge_blessing": blessing}


@pytest.fixture
def inputs(measured, tmp_path) -> dict[str, list[types.Artifact]]:
    """Return inputs with all blessings; tests may change the blessings."""
    edge_blessing = EdgeBlessing()
    for key, value in (("blessed", 1), ("model_id", MODEL), ("edge_model_id", EDGE_MODEL)):
        edge_blessing.set_int_custom_property(key, value)
    for key in (measured_files.SAVED_MODEL, measured_files.EDGE_MODEL, measured_files.EDGE_EVALUATION):
        edge_blessing.set_string_custom_property(key, measured["edge_blessing"].get_string_custom_property(key))
    own = {
        "model_blessing": model_blessing(tmp_path, measured["model"]),
        "edge_blessing": edge_blessing,
        "infra_blessing": infra_blessing(tmp_path, measured["model"]),
    }
    return {key: [artifact] for key, artifact in {**measured, **own}.items()}


def push(inputs, folder: Path, **more: str) -> tuple[types.Artifact, types.Artifact]:
    """Run the executor, and return its outputs: for the SavedModel and for the bundle."""
    made = standard_artifacts.PushedModel(), PushedBundle()
    properties = {
        "saved_model_destination": str(folder / "saved_model"),
        "edge_destination": str(folder / "edge"),
        "pipeline_name": "colours",
        "config_digest": "c" * 64,
        **more,
    }
    Executor().Do(inputs, {"pushed_model": [made[0]], "pushed_bundle": [made[1]]}, properties)
    return made


def delivered(made: types.Artifact) -> Path:
    return Path(made.get_string_custom_property("pushed_destination"))


def push_bundle(inputs, folder: Path, **more: str) -> Path:
    return delivered(push(inputs, folder, **more)[1])


def test_models_that_all_gates_blessed_are_pushed_as_one_release(inputs, tmp_path):
    model, bundle = push(inputs, tmp_path / "pushed")
    [version] = marker.released(str(tmp_path / "pushed" / "edge"))
    for made, kind in ((model, "saved_model"), (bundle, "edge")):
        assert made.get_int_custom_property("pushed") == 1
        assert made.get_string_custom_property("pushed_version") == str(version)
        assert delivered(made) == tmp_path / "pushed" / kind / str(version)
    found = sorted(str(path.relative_to(tmp_path / "pushed")) for path in (tmp_path / "pushed").glob("*/*"))
    assert found == [f"edge/{version}", "edge/releases", f"saved_model/{version}"]
    release = marker.read(str(tmp_path / "pushed" / "edge"), version)
    assert release.pipeline == "colours" and release.inputs["model"] == MODEL
    assert release.inputs["edge_model"] == EDGE_MODEL
    assert "model_float32.tflite" in release.edge.files and "saved_model.pb" in release.saved_model.files


def test_the_saved_model_is_delivered_as_it_was_evaluated(inputs, tmp_path):
    folder, source = delivered(push(inputs, tmp_path / "pushed")[0]), Path(tiny_edge.saved_model())
    assert (folder / "saved_model.pb").read_bytes() == (source / "saved_model.pb").read_bytes()
    assert (folder / "assets" / "labels.txt").exists() and (folder / "variables").is_dir()


def test_a_run_that_is_repeated_has_the_same_release(inputs, tmp_path):
    """As after a kill between the release and its record in ML Metadata."""
    first, again = (push(inputs, tmp_path / "pushed") for _ in range(2))
    assert delivered(first[0]) == delivered(again[0]) and delivered(first[1]) == delivered(again[1])
    assert len(marker.released(str(tmp_path / "pushed" / "edge"))) == 1


def test_a_rollback_lasts_though_a_text_of_the_card_makes_another_bundle(inputs, tmp_path):
    places = Places(str(tmp_path / "pushed" / "edge"), str(tmp_path / "pushed" / "saved_model"))
    write_release(places, 7)
    first = push(inputs, tmp_path / "pushed")
    back = int(first[0].get_string_custom_property("pushed_version")) + 1
    write_release(places, back, rollback_to=7)
    again = push(inputs, tmp_path / "pushed", description="another text")
    assert newest(places) == (back, back)
    for before, now in zip(first, again, strict=True):
        assert delivered(now) == delivered(before) and now.get_int_custom_property("pushed") == 1
        assert now.get_string_custom_property("reason").startswith(f"version {back}, a rollback to 7, replaced")


def test_a_rollback_does_not_keep_away_the_same_saved_model_with_edge_models_of_another_recipe(inputs, tmp_path):
    places = Places(str(tmp_path / "pushed" / "edge"), str(tmp_path / "pushed" / "saved_model"))
    inputs["edge_model"] = [edge_model := copy.deepcopy(inputs["edge_model"][0])]
    write_release(places, 7)
    edge_model.set_string_custom_property("recipe_sha256", "0" * 64)
    first = int(push(inputs, tmp_path / "pushed")[0].get_string_custom_property("pushed_version"))
    assert marker.read(places.edge, first).recipe_sha256 == "0" * 64
    write_release(places, first + 1, rollback_to=7)
    push(inputs, tmp_path / "pushed", description="another text")
    assert newest(places) == (first + 1, first + 1)
    edge_model.set_string_custom_property("recipe_sha256", "1" * 64)
    push(inputs, tmp_path / "pushed")
    assert newest(places)[0] > first + 1 and marker.read(places.edge, newest(places)[1]).recipe_sha256 == "1" * 64


def test_an_interrupted_release_is_completed_also_if_the_next_model_is_refused(inputs, tmp_path):
    _, bundle = push(inputs, tmp_path / "pushed")
    edge, version = str(tmp_path / "pushed" / "edge"), int(bundle.get_string_custom_property("pushed_version"))
    done = Path(marker.path_of(edge, version))
    done.rename(marker.path_of(edge, version, intent=True))  # as a kill before the marker leaves it
    inputs.pop("infra_blessing")
    assert push(inputs, tmp_path / "pushed")[1].get_int_custom_property("pushed") == 0
    assert marker.released(edge) == [version] and marker.released(edge, intent=True) == []


def test_the_bundle_names_the_code_that_made_it(inputs, tmp_path):
    bundle = json.loads((push_bundle(inputs, tmp_path / "pushed") / "bundle.json").read_text())
    assert bundle["lineage"]["code"] == {"edge_evaluation": "f" * 64, "edge_model": "e" * 64}
    assert bundle["lineage"]["config_digest"] == "c" * 64
    weights = saved_model_reader.weights_sha256(tiny_edge.saved_model())
    assert bundle["lineage"]["weights_sha256"] == bundle["saved_model"]["weights_sha256"] == weights


def test_the_bundle_and_its_card_show_the_gates_of_the_saved_model_and_of_each_variant(inputs, tmp_path):
    folder = push_bundle(inputs, tmp_path / "pushed")
    bundle = json.loads((folder / "bundle.json").read_text())
    assert from_json(bundle["gates"]) == [*GATES, *INFRA_GATES]
    gates = from_json(bundle["variants"]["float32"]["gates"])
    assert [gate.name for gate in gates] == ["edge.max_accuracy_drop", "edge.min_agreement", "edge.max_class_drop"]
    assert all(gate.passed and gate.subject == "float32" for gate in gates)
    card = (folder / "MODEL_CARD.md").read_text()
    measured = "| 0.9780 | 0.9439 to 0.9913 | 0.9000 | 179 | yes |"
    assert f"| SavedModel | accuracy | evaluation.min_accuracy {measured}\n" in card
    assert "| evaluation.min_class_accuracy | - | - | - | - | not applied: it is \\| not |\n" in card
    assert "| edge.max_accuracy_drop | 0.0000 |" in card and "| at most 0.0100 | 12 | yes |" in card


def test_a_bundle_is_not_pushed_without_the_gates_of_its_model(inputs, tmp_path):
    (tmp_path / "model_evaluation" / "gates.json").unlink()
    with pytest.raises(PushError, match="its files are not those that the Evaluator measured"):
        push_bundle(inputs, tmp_path / "pushed")
    inputs["model_blessing"][0].set_string_custom_property("evaluation_uri", "")
    with pytest.raises(PushError, match="its files are not those that the Evaluator measured"):
        push_bundle(inputs, tmp_path / "pushed")
    assert not (tmp_path / "pushed").exists()


def pretend(patch: pytest.MonkeyPatch, **versions: str) -> None:
    """Make this environment report other versions of these libraries."""
    installed = metadata.version
    patch.setattr(metadata, "version", lambda name: versions.get(name) or installed(name))


def test_the_bundle_names_the_libraries_of_each_step_and_not_those_of_the_pusher(inputs, tmp_path, monkeypatch):
    model = standard_artifacts.Model()
    model.uri, model.id = inputs["model"][0].uri, MODEL
    with monkeypatch.context() as then:
        pretend(then, tensorflow="2.16.2", keras="3.6.0")
        stamp({"model": [model]}, ["tensorflow", "keras", "no-such-library"])
        converted = ConvertedModel()
        stamp({"converted_model": [converted]}, ["tensorflow"])
    pretend(monkeypatch, tensorflow="2.99.0", keras="3.99.0", edgetune="9.9.9")
    folder = push_bundle({**inputs, "model": [model], "converted_model": [converted]}, tmp_path / "pushed")
    versions = json.loads((folder / "bundle.json").read_text())["lineage"]["versions"]
    steps = {"model", "model_evaluation", "converted_model", "edge_model", "edge_evaluation", "bundle"}
    assert set(versions) == steps
    assert versions["converted_model"]["tensorflow"] == "2.16.2", "which converted"
    assert (versions["model"]["tensorflow"], versions["model"]["keras"]) == ("2.16.2", "3.6.0")
    assert versions["model"]["no-such-library"] is None
    assert versions["edge_evaluation"]["tensorflow"] == TENSORFLOW
    assert versions["bundle"]["edgetune"] == "9.9.9"
    # Artifacts of older versions have no record; no other versions are given for them.
    assert versions["edge_model"] is None and versions["model_evaluation"] is None
    card = (folder / "MODEL_CARD.md").read_text()
    assert "- edge model made with: not recorded\n" in card and "no no-such-library" in card
    assert "tensorflow 2.16.2" in card and "2.99.0" not in card


def ingested(folder, content):
    """Return ImageExampleGen's report with this `ingest.json`."""
    report = IngestReport()
    report.uri = str(folder)
    folder.mkdir()
    (folder / "ingest.json").write_text(json.dumps(content))
    report.set_string_custom_property("ingest_sha256", ingest_report.digest(report.uri))
    return report


def test_the_model_card_has_the_texts_of_people_and_the_image_counts(inputs, tmp_path):
    splits = {"train": {"blue": 41, "green": 40, "red": 40}, "test": {"blue": 4, "green": 4, "red": 4}}
    report = ingested(tmp_path / "report", {"splits": splits})
    said = {"intended_use": "Sorting paint pots.", "data": "Photographs of paint.", "limits": "Not for pastels."}
    folder = push_bundle(
        {**inputs, "ingest_report": [report]}, tmp_path / "pushed", author="Ada", license="CC0", **said
    )
    card = (folder / "MODEL_CARD.md").read_text()
    for expected in (*said.values(), "- author: Ada", "- licence: CC0", "| blue | 41 | 4 |", "| all | 121 | 12 |"):
        assert expected in card


def test_the_bundle_records_how_the_run_read_its_images(inputs, tmp_path):
    reading = {"max_pixels": 1000, "max_side": None, "background": [1, 2, 3]}
    report = ingested(tmp_path / "report", {"splits": {}, "reading": reading})
    folder = push_bundle({**inputs, "ingest_report": [report]}, tmp_path / "pushed")
    bundle = json.loads((folder / "bundle.json").read_text())
    assert bundle["input"]["reading"] == reading


@pytest.mark.parametrize("change", [lambda path: path.write_text('{"splits": {}}'), lambda path: path.unlink()])
def test_counts_that_were_changed_after_ingest_are_not_pushed(inputs, tmp_path, change):
    report = ingested(tmp_path / "report", {"splits": {}, "reading": {}})
    change(Path(report.uri, "ingest.json"))
    with pytest.raises(PushError, match=r"report/ingest\.json"):
        push_bundle({**inputs, "ingest_report": [report]}, tmp_path / "pushed")
    assert not (tmp_path / "pushed").exists()


def test_a_bundle_that_cannot_be_signed_is_not_pushed(inputs, tmp_path):
    with pytest.raises(ConfigError, match="the signing tool is not installed") as caught:
        push_bundle(inputs, tmp_path / "pushed", sign_key=str(tmp_path / "key.pem"), sign_tool="no-such-tool")
    assert "pip install model-signing==1.1.1 pyopenssl" in caught.value.remedy
    assert not (tmp_path / "pushed").exists()


def without(key):
    return lambda inputs: inputs.pop(key)


def empty(key):
    return lambda inputs: inputs.update({key: []})


def marked(key, name, value):
    return lambda inputs: inputs[key][0].set_int_custom_property(name, value)


def unmarked(key, kind):
    return lambda inputs: inputs.update({key: [kind()]})


SABOTAGE = [
    (without("model_blessing"), "the Evaluator gave no blessing"),
    (empty("model_blessing"), "the Evaluator gave no blessing"),
    (without("edge_blessing"), "the EdgeEvaluator gave no blessing"),
    (empty("edge_blessing"), "the EdgeEvaluator gave no blessing"),
    (without("infra_blessing"), "the InfraValidator gave no blessing"),
    (empty("infra_blessing"), "the InfraValidator gave no blessing"),
    (marked("infra_blessing", "blessed", 0), "the InfraValidator refused the model"),
    (marked("infra_blessing", "model_id", 5), "the InfraValidator's blessing is for another model"),
    (unmarked("infra_blessing", InfraBlessing), "the InfraValidator's blessing is for another model"),
    (marked("model_blessing", "blessed", 0), "the Evaluator refused the model"),
    (marked("edge_blessing", "blessed", 0), "the EdgeEvaluator refused the edge models"),
    (marked("model_blessing", "current_model_id", 5), "the Evaluator's blessing is for another model"),
    (marked("edge_blessing", "model_id", 5), "the EdgeEvaluator's blessing is for another model"),
    (unmarked("model_blessing", standard_artifacts.ModelBlessing), "the Evaluator's blessing is for another model"),
    (unmarked("edge_blessing", EdgeBlessing), "the EdgeEvaluator's blessing is for another model"),
    (empty("model"), "there is no model to push"),
    (marked("edge_blessing", "edge_model_id", 5), "the EdgeEvaluator's blessing is for another edge model"),
    (empty("edge_model"), "there is no edge model to push"),
    (unmarked("edge_evaluation", EdgeEvaluation), "there is no edge evaluation of this edge model"),
]


@pytest.mark.parametrize(("sabotage", "reason"), SABOTAGE)
def test_without_all_blessings_nothing_is_pushed_and_the_reason_is_recorded(inputs, tmp_path, sabotage, reason):
    sabotage(inputs)
    for made in push(inputs, tmp_path / "pushed"):
        assert made.has_custom_property("pushed") and made.get_int_custom_property("pushed") == 0
        assert made.get_string_custom_property("reason") == reason
        assert not made.has_custom_property("pushed_destination")
    assert not (tmp_path / "pushed").exists()


def test_an_unstored_model_does_not_match_a_blessing_without_an_id(inputs, tmp_path):
    model = standard_artifacts.Model()
    model.uri = inputs["model"][0].uri
    blessings = {
        "model_blessing": standard_artifacts.ModelBlessing(),
        "edge_blessing": EdgeBlessing(),
        "infra_blessing": InfraBlessing(),
    }
    for each in blessings.values():
        each.set_int_custom_property("blessed", 1)
    own = {"model": [model], **{key: [blessing] for key, blessing in blessings.items()}}
    assert [made.get_int_custom_property("pushed") for made in push({**inputs, **own}, tmp_path / "pushed")] == [0, 0]


def copied(inputs, folder: Path) -> dict[str, list[types.Artifact]]:
    """Return the inputs with copies of the folders of all that was measured, which a test may change."""
    given = dict(inputs)
    for key in ("model", "edge_model", "edge_evaluation"):
        [original] = inputs[key]
        artifact = type(original)()
        artifact.set_mlmd_artifact(copy.deepcopy(original.mlmd_artifact))
        shutil.copytree(original.uri, folder / key)
        artifact.uri = str(folder / key)
        given[key] = [artifact]
    return given


def flip(path: Path) -> None:
    """Flip four bytes in the middle of a file."""
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 2, len(content) // 2 + 4):
        content[place] ^= 0xFF
    path.write_bytes(content)


ALTERED = [
    ("model/Format-Serving/variables/variables.data-00000-of-00001", "Evaluator", "TwoPhaseTrainer"),
    ("model/Format-Serving/saved_model.pb", "Evaluator", "TwoPhaseTrainer"),
    ("model/Format-Serving/assets/labels.txt", "Evaluator", "TwoPhaseTrainer"),
    ("edge_model/model_float32.tflite", "EdgeEvaluator", "EdgeDescriber"),
    ("edge_model/labels.txt", "EdgeEvaluator", "EdgeDescriber"),
    ("edge_evaluation/metrics.json", "EdgeEvaluator", "EdgeEvaluator"),
    ("edge_evaluation/golden/expected.json", "EdgeEvaluator", "EdgeEvaluator"),
    ("model_evaluation/gates.json", "Evaluator", "Evaluator"),
]


@pytest.mark.parametrize(("path", "gate", "maker"), ALTERED)
def test_neither_model_is_pushed_if_any_file_was_changed_after_it_was_measured(inputs, tmp_path, path, gate, maker):
    given = copied(inputs, tmp_path)
    flip(tmp_path / path)
    with pytest.raises(PushError, match=f"not those that the {gate} measured, so nothing was pushed") as raised:
        push(given, tmp_path / "pushed")
    assert f"run {maker} and all that follows again, without the cache" in raised.value.remedy
    assert not (tmp_path / "pushed").exists()


@pytest.mark.parametrize("change", ["added", "removed"])
def test_neither_model_is_pushed_if_a_file_was_added_or_removed(inputs, tmp_path, change):
    given = copied(inputs, tmp_path)
    folder = tmp_path / "model" / "Format-Serving"
    if change == "added":
        (folder / "assets.extra" / "code").mkdir(parents=True)
        (folder / "assets.extra" / "code" / "hook.py").write_text("print()")
    else:
        (folder / "assets" / "labels.txt").unlink()
    with pytest.raises(PushError, match="so nothing was pushed"):
        push(given, tmp_path / "pushed")
    assert not (tmp_path / "pushed").exists()


@pytest.mark.parametrize(
    ("blessing", "gate"),
    [("model_blessing", "Evaluator"), ("infra_blessing", "InfraValidator"), ("edge_blessing", "EdgeEvaluator")],
)
def test_each_gate_must_have_measured_the_files_that_are_pushed(inputs, tmp_path, blessing, gate):
    [given] = inputs[blessing]
    given.set_string_custom_property("saved_model_sha256", "0" * 64)
    with pytest.raises(PushError, match=f"not those that the {gate} measured"):
        push(inputs, tmp_path / "pushed")
    given.set_string_custom_property("saved_model_sha256", "")
    with pytest.raises(PushError, match=f"the {gate} did not record which files it measured"):
        push(inputs, tmp_path / "pushed")
    assert not (tmp_path / "pushed").exists()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_files_that_are_changed_while_they_are_pushed_are_not_delivered(inputs, tmp_path, monkeypatch, moment):
    """Either the change is seen, or what is delivered was copied before it."""
    given, fetch = copied(inputs, tmp_path), filesystem.fetch
    changed = {"model": "Format-Serving/saved_model.pb", "edge_model": "model_float32.tflite"}
    sound = {kind: (tmp_path / kind / name).read_bytes() for kind, name in changed.items()}

    def changing(folder: str, target: Path) -> None:
        if moment == "after":
            fetch(folder, target)
        for kind, name in changed.items():
            if tmp_path / kind in (Path(folder), Path(folder).parent):
                flip(tmp_path / kind / name)
        if moment == "before":
            fetch(folder, target)

    monkeypatch.setattr(filesystem, "fetch", changing)
    if moment == "before":
        with pytest.raises(PushError, match="so nothing was pushed"):
            push(given, tmp_path / "pushed")
        assert not (tmp_path / "pushed").exists()
    else:
        model, bundle = push(given, tmp_path / "pushed")
        assert (delivered(bundle) / "model_float32.tflite").read_bytes() == sound["edge_model"]
        assert (delivered(model) / "saved_model.pb").read_bytes() == sound["model"]


@pytest.mark.parametrize("kind", ["saved_model", "edge"])
def test_a_failed_push_is_an_error_and_neither_model_is_there(inputs, tmp_path, kind):
    (tmp_path / "pushed").mkdir()
    (tmp_path / "pushed" / kind).write_text("mine")
    with pytest.raises(PushError, match="the push failed"):
        push(inputs, tmp_path / "pushed")
    assert [path.name for path in (tmp_path / "pushed").rglob("*") if path.is_file()] == [kind]


def test_properties_and_outputs_of_the_component():
    channels = {
        "model": types.Channel(type=standard_artifacts.Model),
        "model_blessing": types.Channel(type=standard_artifacts.ModelBlessing),
        "edge_blessing": types.Channel(type=EdgeBlessing),
        "infra_blessing": types.Channel(type=InfraBlessing),
        "edge_model": types.Channel(type=EdgeModel),
        "edge_evaluation": types.Channel(type=EdgeEvaluation),
    }
    places = {"saved_model_destination": "served", "edge_destination": "bundles"}
    given = {**channels, "pipeline_name": "p", "config_digest": "d"}
    pusher = ReleasePusher(**given, **places)
    texts = {"description", "author", "license", "data", "intended_use", "limits"}
    own = {*places, "pipeline_name", "config_digest", "code_digest", "library_versions", "sign_tool"}
    assert set(pusher.exec_properties) == own | texts
    assert pusher.exec_properties["description"] == "Image classifier"
    assert pusher.outputs["pushed_model"].type is standard_artifacts.PushedModel
    assert pusher.outputs["pushed_bundle"].type is PushedBundle
    signing = ReleasePusher(**given, **places, push=PushSettings(sign_key="key.pem"), after="7")
    assert (signing.exec_properties["sign_key"], signing.exec_properties["after"]) == ("key.pem", "7")
    for name in places:
        with pytest.raises(ValueError, match="ReleasePusher needs two destinations"):
            ReleasePusher(**given, **{**places, name: ""})

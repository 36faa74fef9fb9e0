"""The whole pipeline through the command line, as a user runs it, from an installed wheel that tests may edit.

first run       every component is executed, and both models are pushed
second run      after editing a file: only the components that use it and later ones are executed
third run       unchanged: nothing is executed or created
compiled        for Kubeflow and Vertex, and executed task by task as they do: the same models are pushed
set back        to an earlier configuration: what it pushed is pushed again, because another version came after it
refused run     a gate that the model does not pass: nothing is pushed, and one line has the reason
the documents   every command of the tutorial, and the notebook from its first cell to its last
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb
from PIL import Image

from edgetune.modules.bundle.predict import open_model
from edgetune.modules.data.digits import write_digits
from edgetune.modules.examples import records
from edgetune.modules.images.decode import from_raw
from edgetune.modules.images.reader import read_image
from edgetune.modules.images.reading import Reading
from edgetune.modules.release import marker
from edgetune.modules.settings.run import DataSettings
from edgetune.pipeline.api import load_settings
from edgetune.pipeline.metadata.outcome import CACHED, COMPLETE, Outcome, read_outcome
from tests.fakes.kfp_launcher import IMPORTED, Platform
from tests.helpers.camera_files import REFUSED, STORED, features_of, turned
from tests.helpers.documents import cells, to_run
from tests.helpers.fork_server import ForkServer
from tests.helpers.wheel import build_wheel, colliding_project, install

AFTER_TRAINING = {"Evaluator", "InfraValidator", "EdgeExporter", "EdgeDescriber", "EdgeEvaluator", "ReleasePusher"}
DATA = {"ImageExampleGen", "ImportSchemaGen", "StatisticsGen", "ExampleValidator", "DatasetGate", "Transform"}
RESOLVERS = {"Baseline", "BaselineStatistics"}
NODES = DATA | RESOLVERS | {"LabelReviewer", "TwoPhaseTrainer"} | AFTER_TRAINING
# Resolvers are never cached: they query ML Metadata in every run.
CACHEABLE = NODES - RESOLVERS
SETTINGS = (
    "name=digits",
    "data.splits.train=8",  # the demo has few labels
    "data.splits.test=1",
    "model.image_size=48",
    "training.batch_size=16",
    "training.activation_cache.head_views=1",
    "training.head.epochs=6",
    "training.fine_tune.epochs=1",
    "training.baselines=[]",
    # The thresholds of the demo, on the twelve test images that there are.
    "evaluation.min_test_images=5",
    "evaluation.min_test_images_per_class=1",
    # Without float16, which has its own tests: each variant is converted four times here.
    "edge.variants=[float32, int8]",
)


class Machine:
    """An installed wheel, a project whose own packages have the names of our folders, images, and a workdir."""

    def __init__(self, folder: Path, root: Path, data: Path) -> None:
        self.code = install(build_wheel(root, folder / "build"), folder / "site")
        self.project = colliding_project(folder / "project")
        self.workdir, self.data = folder / "workdir", data
        self.environment = {**os.environ, "PYTHONPATH": f"{self.project}{os.pathsep}{self.code}"}

    def run(self, *settings: str, server: ForkServer | None = None) -> subprocess.CompletedProcess[str]:
        changes = [part for setting in settings for part in ("--set", setting)]
        return self.edgetune("run", "--workdir", str(self.workdir), *changes, server=server)

    def edgetune(
        self, command: str, *arguments: str, server: ForkServer | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command that takes a configuration, with the configuration of these tests and this machine's images."""
        settings = [part for setting in SETTINGS for part in ("--set", setting)]
        config = self.code / "edgetune" / "configs" / "demo.yaml"
        given = ("--config", str(config), "--data", str(self.data), *settings, *arguments)
        return self.call(command, *given, server=server, cwd=self.project)

    def call(self, *arguments: str, server: ForkServer | None, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a command with these arguments and no others."""
        program = server.command("edgetune") if server else [sys.executable, "-m", "edgetune"]
        return subprocess.run(
            [*program, *arguments],
            cwd=cwd,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )

    @property
    def metadata_db(self) -> Path:
        return self.workdir / "tfx_metadata" / "digits" / "metadata.db"

    def outcome(self) -> Outcome:
        return read_outcome(self.metadata_db, "digits")

    def counts(self) -> tuple[Counter[str], Counter[str]]:
        """Return the number of executions by state, and of artifacts by type, over all runs."""
        config = pb.ConnectionConfig()
        config.sqlite.filename_uri = str(self.metadata_db)
        store = metadata_store.MetadataStore(config)
        states = Counter(pb.Execution.State.Name(e.last_known_state) for e in store.get_executions())
        return states, Counter(artifact.type for artifact in store.get_artifacts())

    def pushed(self, kind: str) -> list[Path]:
        folder = self.workdir / "pushed" / "digits" / kind
        return sorted(path for path in folder.iterdir() if path.name.isdecimal()) if folder.exists() else []


def states(outcome: Outcome, state: str) -> set[str]:
    return {node.id for node in outcome.nodes if node.state == state}


def compared_with(outcome: Outcome) -> str | None:
    """Return the evaluation that the run's model was compared with."""
    return outcome.node("Evaluator").artifact("blessing").custom_properties.get("compared_with")


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a folder of forty images of each of three easily distinguished digits, and a file that is not an image."""
    everything = write_digits(tmp_path_factory.mktemp("all") / "digits")
    folder = tmp_path_factory.mktemp("data")
    for digit in "014":
        (folder / digit).mkdir()
        for path in sorted((everything / digit).iterdir())[:40]:
            shutil.copy(path, folder / digit)
    (folder / "0" / "notes.txt").write_text("these are zeros\n")
    return folder


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, root: Path, digits: Path) -> Machine:
    return Machine(tmp_path_factory.mktemp("machine"), root, digits)


@pytest.fixture(scope="module")
def server(machine: Machine) -> Iterator[ForkServer]:
    """Run what follows the first run, which is a process of its own like a user's, in less time."""
    with ForkServer(IMPORTED, machine.environment) as started:
        yield started


@pytest.fixture(scope="module")
def first(machine: Machine) -> Iterator[subprocess.CompletedProcess[str]]:
    done = machine.run()
    assert done.returncode == 0, done.stdout + done.stderr
    yield done


def test_the_first_run_executes_everything_and_pushes_both_models(machine, first):
    outcome = machine.outcome()
    assert states(outcome, COMPLETE) == NODES
    assert outcome.blessed
    executions, artifacts = machine.counts()
    assert executions == {"COMPLETE": len(NODES)}
    assert artifacts["Model"] == artifacts["PushedModel"] == 1
    for kind in ("ConvertedModel", "EdgeModel", "PushedBundle"):
        assert artifacts[f"edgetune.{kind}"] == 1, kind
    assert artifacts["Examples"] == 2
    [version], [bundle] = machine.pushed("saved_model"), machine.pushed("edge")
    assert (version / "saved_model.pb").is_file()
    assert [int(version.name)] == [int(bundle.name)] == marker.released(str(bundle.parent))
    tried = json.loads(Path(outcome.node("InfraValidator").artifact("blessing").uri, "infra.json").read_text())
    assert tried["originals"]["asked"] == tried["images"] > 0 and tried["largest_difference"] < 1e-3
    assert {path.name for path in bundle.glob("*.tflite")} >= {"model_float32.tflite"}


def test_a_file_that_is_not_an_image_is_counted_apart(machine, first):
    report = machine.outcome().node("ImageExampleGen").artifact("report")
    ingest = json.loads(Path(report.uri, "ingest.json").read_text())
    assert (ingest["files"], ingest["accepted"], ingest["rejected"], ingest["not_images"]) == (121, 120, 0, 1)
    assert ingest["not_images_by_kind"] == {".txt": 1}


def test_settings_are_recorded_as_typed_properties_in_ml_metadata(machine, first):
    properties = machine.outcome().node("TwoPhaseTrainer").properties
    assert properties["training_head_epochs"] == 6
    assert properties["training_fine_tune_learning_rate"] == 3e-4
    assert json.loads(properties["model_head_units"]) == []


def test_each_component_has_one_line_and_the_log_is_named(machine, first):
    for node in NODES:
        assert sum(line.split()[:2] == ["✓", node] for line in first.stdout.splitlines()) == 1, node
    [log] = (machine.workdir / "logs").iterdir()
    assert str(log) in first.stdout
    assert "tfx" in log.read_text(encoding="utf-8", errors="replace").lower()
    assert first.stderr == ""


def test_pushed_models_agree_on_other_images(machine, first, digits):
    [version], [bundle] = machine.pushed("saved_model"), machine.pushed("edge")
    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    labels = (bundle / "labels.txt").read_text().splitlines()
    assert labels == ["0", "1", "4"]
    interpreter = Interpreter(str(bundle / "model_float32.tflite"))
    interpreter.allocate_tensors()
    [given], [got] = interpreter.get_input_details(), interpreter.get_output_details()
    right = 0
    paths = [path for digit in labels for path in sorted((digits / digit).glob("*.png"))[:8]]
    for path in paths:
        served = signature(image_bytes=tf.constant([path.read_bytes()]))
        # Prepare the model's input without edgetune's code, as a phone would.
        pixels = np.asarray(Image.open(path).convert("RGB").resize((48, 48), Image.Resampling.BILINEAR))
        interpreter.set_tensor(given["index"], pixels[None].astype(np.float32))
        interpreter.invoke()
        probabilities = interpreter.get_tensor(got["index"])[0]
        assert np.abs(probabilities - served["probabilities"].numpy()[0]).max() < 0.02
        right += served["label"].numpy()[0].decode() == path.parent.name == labels[int(probabilities.argmax())]
    assert right >= 0.9 * len(paths)


def test_the_pushed_signature_answers_every_file_as_predict_and_as_training_reads_it(machine, first):
    [version], [bundle] = machine.pushed("saved_model"), machine.pushed("edge")
    signatures = tf.saved_model.load(str(version)).signatures
    classifier, reading = open_model(bundle), Reading.of(DataSettings(path="unused").model_dump())
    examples = machine.outcome().node("ImageExampleGen").artifact("examples").uri
    test = [tf.train.Example.FromString(found) for found in records.serialized(examples, "test").as_numpy_iterator()]
    lossless = {"PNG": {}, "JPEG": {"quality": 100, "subsampling": 0}}
    for example in test[:2]:
        [content] = example.features.feature["image"].bytes_list.value
        upright = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        twins = {(kind, o): turned(o, kind, upright, **options) for kind, options in lossless.items() for o in STORED}
        files = [*twins.values(), *features_of(upright).values()]
        served = signatures["serving_default"](image_bytes=tf.constant(files))["probabilities"].numpy()
        predicted = np.array([classifier.classify(file) for file in files])
        np.testing.assert_allclose(served, predicted, atol=1e-3)
        # What training sees: what ingest stores of a file, through Transform.
        for file in files:
            example.features.feature["image"].bytes_list.value[:] = [read_image(file, reading).encoded]
            given = signatures["transform_features"](examples=tf.constant([example.SerializeToString()]))
            pixels = tf.cast(from_raw(given["image"], 48), tf.float32)
            trained = signatures["edge"](image=pixels)["probabilities"].numpy()[0]
            np.testing.assert_allclose(served[files.index(file)], trained, atol=1e-3)
        for number, (kind, _) in enumerate(twins):
            upright_twin = served[list(twins).index((kind, 1))]
            np.testing.assert_allclose(served[number], upright_twin, atol={"PNG": 1e-3, "JPEG": 0.05}[kind])
    for name, (content, reason) in REFUSED.items():
        if name != "too large":  # for another run's data.max_pixels
            with pytest.raises(tf.errors.InvalidArgumentError) as caught:
                signatures["serving_default"](image_bytes=tf.constant([files[0], content]))
            assert f"image 2 of 2 {reason}" in str(caught.value), name


# --- the same pipeline, compiled for a platform and executed as the platform does


def compile_for(target: str, machine: Machine, folder: Path, server: ForkServer) -> dict:
    """Run `edgetune compile` with the configuration of the first run, and return the result."""
    path = folder / f"{target}.json"
    done = machine.edgetune(
        *("compile", "--target", target, "--image", "edgetune", "-o", str(path)),
        *("--pipeline-root", str(folder / "root")),
        server=server,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of runs on platforms."""
    return tmp_path_factory.mktemp("platforms")


@pytest.fixture(scope="module")
def executed(machine: Machine, first: object, server: ForkServer, place: Path) -> dict:
    """Return the outputs of all tasks of the pipeline for Kubeflow."""
    return Platform("kubeflow", place / "logs", server).run(compile_for("kubeflow", machine, place, server))


def pushed_bundle(tasks: dict) -> Path:
    [artifact] = tasks["ReleasePusher"]["pushed_bundle"]
    assert artifact["metadata"]["pushed"] == 1
    return Path(artifact["metadata"]["pushed_destination"])


def lineage(bundle: Path) -> dict:
    return json.loads((bundle / "bundle.json").read_text())["lineage"]


def answers(bundle: Path) -> list[float]:
    """Return the predictions of the SavedModel and of all variants of a bundle on its golden images."""
    expected = json.loads((bundle / "golden" / "expected.json").read_text())
    assert len(expected["images"]) == 3
    given = [image["probabilities"] for image in expected["images"]]
    return [number for probabilities in given for _, numbers in sorted(probabilities.items()) for number in numbers]


@pytest.mark.large
def test_the_compiled_pipeline_pushes_the_same_models_as_the_local_run(machine, first, executed):
    [local], bundle = machine.pushed("edge"), pushed_bundle(executed)
    assert {path.name for path in bundle.iterdir()} == {path.name for path in local.iterdir()}
    [model] = executed["ReleasePusher"]["pushed_model"]
    assert Path(model["metadata"]["pushed_destination"], "saved_model.pb").is_file()
    assert model["metadata"]["pushed_version"] == bundle.name
    assert marker.released(str(bundle.parent)) == [int(bundle.name)]
    for digest in ("config_digest", "data_digest"):
        assert lineage(bundle)[digest] == lineage(local)[digest], digest
    [evaluation] = executed["EdgeEvaluator"]["evaluation"]
    measured = machine.outcome().node("EdgeEvaluator").artifact("evaluation").custom_properties
    for figure in ("test_images", "accuracy_saved_model", "accuracy_float32", "accuracy_int8"):
        assert evaluation["metadata"][figure] == measured[figure], figure
    # Training is deterministic, so more than the accuracy is the same.
    assert answers(bundle) == pytest.approx(answers(local), abs=1e-3)


@pytest.mark.large
def test_on_a_platform_a_run_with_another_threshold_is_compared_with_the_last_released_model(
    machine, executed, server, place, tmp_path
):
    touched = {"Evaluator", "InfraValidator", "ReleasePusher"}
    known = {name: made for name, made in executed.items() if name not in touched}
    # As if the first run had been on Vertex. Tasks that the threshold does not affect then come from the cache.
    vertex = Platform("vertex", tmp_path, server)
    again = vertex.run(compile_for("vertex", machine, place, server), {"evaluation_min_accuracy": 0.25}, known)
    [model], [before] = executed["TwoPhaseTrainer"]["model"], executed["Evaluator"]["blessing"]
    [judged] = again["Evaluator"]["blessing"]
    assert judged["metadata"]["current_model_id"] == model["name"]
    assert judged["metadata"]["compared_with"] == before["metadata"]["evaluation_uri"]
    assert "compared_with" not in before["metadata"]
    old, new = pushed_bundle(executed), pushed_bundle(again)
    assert old != new and answers(old) == answers(new)
    assert lineage(old)["config_digest"] != lineage(new)["config_digest"]


# --- later runs, which change the machine


def test_an_edit_runs_the_components_that_use_the_file_again_and_the_next_run_nothing(machine, first, server):
    before = machine.outcome()
    with (machine.code / "edgetune" / "modules" / "training" / "augmentation.py").open("a") as file:
        file.write("# An edit.\n")
    second = machine.run(server=server)
    assert second.returncode == 0, second.stdout + second.stderr
    outcome = machine.outcome()
    assert states(outcome, CACHED) == DATA
    assert states(outcome, COMPLETE) == NODES - DATA
    assert compared_with(before) is None
    assert compared_with(outcome) == before.node("Evaluator").artifact("evaluation").uri
    assert len(machine.pushed("saved_model")) == len(machine.pushed("edge")) == 2
    # Trained again, in another process: the weights are the same, though the files are not.
    assert len({lineage(bundle)["weights_sha256"] for bundle in machine.pushed("edge")}) == 1

    executions, artifacts = machine.counts()
    third = machine.run(server=server)
    assert third.returncode == 0, third.stdout + third.stderr
    assert states(machine.outcome(), CACHED) == CACHEABLE
    now, artifacts_now = machine.counts()
    assert now - executions == {"CACHED": len(CACHEABLE), "COMPLETE": len(RESOLVERS)}
    assert artifacts_now == artifacts
    assert len(machine.pushed("saved_model")) == len(machine.pushed("edge")) == 2


@pytest.mark.large
def test_a_configuration_that_is_set_back_serves_its_model_again(machine, first, server):
    """What was pushed under this configuration is in the cache, but another version came after it."""
    for settings in (("card.limits=Only by daylight.",), ()):
        done = machine.run(*settings, server=server)
        assert done.returncode == 0, done.stdout + done.stderr
    bundles, outcome = machine.pushed("edge"), machine.outcome()
    assert "edgetune: ReleasePusher again" in done.stdout
    assert str(bundles[-1]) in outcome.pushed
    cards = [(bundle / "MODEL_CARD.md").read_text() for bundle in bundles[-2:]]
    assert "Only by daylight." in cards[0] and "Only by daylight." not in cards[1]
    # Nothing changes in the next run, which takes both from the cache.
    assert machine.run(server=server).returncode == 0
    assert machine.pushed("edge") == bundles
    assert states(machine.outcome(), CACHED) == CACHEABLE


def test_a_refused_model_is_not_pushed_and_one_line_has_the_reason(machine, first, server):
    before = machine.pushed("saved_model"), machine.pushed("edge")
    # All of twelve test images may be right, and the accuracy can still be less than it has to be.
    done = machine.run("evaluation.gate_on=lower_bound", server=server)
    assert done.returncode == 7, done.stdout + done.stderr
    [why, remedy] = done.stderr.splitlines()
    assert why.startswith("edgetune: accuracy ") and "evaluation.min_accuracy needs 90 %" in why
    assert remedy.startswith("  remedy: nothing was pushed")
    outcome = machine.outcome()
    assert not outcome.blessed
    assert "Evaluator" in states(outcome, COMPLETE) and "TwoPhaseTrainer" in states(outcome, CACHED)
    assert outcome.node("Evaluator").artifact("blessing").custom_properties["blessed"] == 0
    for key in ("pushed_model", "pushed_bundle"):
        assert outcome.node("ReleasePusher").artifact(key).custom_properties["pushed"] == 0
    assert (machine.pushed("saved_model"), machine.pushed("edge")) == before
    reports = (machine.workdir / "reports" / "digits").glob("*/index.html")
    newest = max(reports, key=lambda report: report.stat().st_mtime)
    assert "evaluation.min_accuracy" in newest.read_text()


# --- the documentation, on the machine of the first run


@pytest.fixture(scope="module")
def configuration(machine: Machine, first: object, server: ForkServer) -> Path:
    """Return a file with the configuration of these tests, with which every result is in the cache."""
    done = machine.edgetune("config", server=server)
    assert done.returncode == 0, done.stderr
    path = machine.workdir.parent / "photos.yaml"
    path.write_text(done.stdout)
    return path


def test_every_command_of_the_tutorial_runs(machine, configuration, server, root):
    """With this machine's images and its configuration, of which the results are in the cache."""
    written = configuration.read_text()
    configuration.unlink()  # until the tutorial writes it
    place = machine.workdir.parent
    for arguments in to_run(root / "docs" / "tutorial.md"):
        if "--config" in arguments and configuration.read_text() != written:
            made = load_settings(configuration)
            assert (made.name, Path(made.data.path).resolve()) == (machine.data.name, machine.data.resolve())
            configuration.write_text(written)  # the reader may edit it, too
        latest = next(iter(machine.pushed("edge")[::-1]))
        first_run = min(path.name for path in (machine.workdir / "reports" / "digits").iterdir())
        for old, new in (
            ("pushed/photos/", "pushed/digits/"),
            ("1796091838", latest.name),
            ("20261201-101500", first_run),
            ("photos/daisy", str(machine.data / "1")),  # a folder of images alone
        ):
            arguments = [argument.replace(old, new) for argument in arguments]
        arguments = [str(machine.data) if argument == "photos" else argument for argument in arguments]
        done = machine.call(*arguments, server=server, cwd=place)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    assert (place / "app" / "README.md").is_file() and (place / "app-python" / "README.md").is_file()


def test_the_notebook_runs_from_its_first_cell_to_its_last(machine, configuration, root):
    given = f"config, data, workdir, overrides = {str(configuration)!r}, None, {str(machine.workdir)!r}, {{}}"
    code = "\n".join(given if replaced else source for source, replaced in cells(root / "docs" / "notebook.ipynb"))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=machine.project,
        env=machine.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answered = [line.split() for line in done.stdout.splitlines() if line.endswith((" ", "unsure")) and ".png " in line]
    assert "blessed" in done.stdout and len(answered) == 3

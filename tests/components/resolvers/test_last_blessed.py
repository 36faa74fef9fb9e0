"""Resolvers: the baseline of a candidate model and of new data."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb
from tfx.types import standard_artifacts

from edgetune.components.resolvers.last_blessed import BlessingsBeforeCandidate, StatisticsOfLastBlessed
from edgetune.modules.core import progress
from edgetune.pipeline.history.rollback import rollback
from edgetune.pipeline.metadata.store import connection, open_store
from tests.helpers.nights import Nights


def model(number: int) -> standard_artifacts.Model:
    artifact = standard_artifacts.Model()
    artifact.id = number
    return artifact


DAY = 24 * 60 * 60 * 1000


def blessing(of: int, blessed: int = 1, day: float = 0) -> standard_artifacts.ModelBlessing:
    artifact = standard_artifacts.ModelBlessing()
    artifact.set_int_custom_property("current_model_id", of)
    artifact.set_int_custom_property("blessed", blessed)
    artifact.mlmd_artifact.create_time_since_epoch = int(day * DAY)
    return artifact


def of_evaluation(of: int, folder: Path, day: float = 0) -> standard_artifacts.ModelBlessing:
    artifact = blessing(of, day=day)
    artifact.set_string_custom_property("evaluation_uri", str(folder))
    return artifact


class Releases:
    """ML Metadata with one execution for each model that a release delivered, or refused."""

    def __init__(self, delivered: Iterable[int], refused: Iterable[int] = ()) -> None:
        self.pushes = {1000 + of: (of, 1) for of in delivered} | {1000 + of: (of, 0) for of in refused}

    def get_artifacts_by_type(self, name: str) -> list[pb.Artifact]:
        assert name == "PushedModel"
        found = [pb.Artifact(id=number) for number in self.pushes]
        for artifact in found:
            artifact.custom_properties["pushed"].int_value = self.pushes[artifact.id][1]
        return found

    def get_events_by_artifact_ids(self, ids: list[int]) -> list[pb.Event]:
        return [pb.Event(execution_id=number, artifact_id=number, type=pb.Event.OUTPUT) for number in ids]

    def get_events_by_execution_ids(self, ids: list[int]) -> list[pb.Event]:
        return [
            pb.Event(execution_id=number, artifact_id=self.pushes[number][0], type=pb.Event.INPUT) for number in ids
        ]


def resolve(
    candidate: int,
    blessings: list[standard_artifacts.ModelBlessing],
    day: float = 0,
    models=30,
    releases: Releases | None = None,
) -> list[int]:
    """Return the ids of the models whose blessings are found for a candidate that was made on a day.

    Unless `releases` says otherwise, all models were released.
    """
    made = model(candidate)
    made.mlmd_artifact.create_time_since_epoch = int(day * DAY)
    store = releases or Releases(blessing.get_int_custom_property("current_model_id") for blessing in blessings)
    found = BlessingsBeforeCandidate(days=90, models=models).resolve_artifacts(
        store, {"candidate": [made], "model_blessing": blessings}
    )
    assert [artifact.id for artifact in found["candidate"]] == [candidate]
    return [artifact.get_int_custom_property("current_model_id") for artifact in found["model_blessing"]]


def test_the_first_model_is_compared_with_none():
    assert resolve(5, []) == []


def test_a_model_is_never_compared_with_itself():
    assert resolve(5, [blessing(5)]) == []


def test_all_blessed_models_before_the_candidate_are_found_the_oldest_first():
    assert resolve(9, [blessing(3), blessing(9), blessing(5), blessing(7)]) == [3, 5, 7]


def test_a_newer_model_does_not_count_for_a_cached_candidate():
    assert resolve(5, [blessing(3), blessing(5), blessing(9)]) == [3]


def test_a_refused_model_or_one_without_a_verdict_is_skipped():
    assert resolve(9, [blessing(3), blessing(5, blessed=0)]) == [3]


def test_a_model_that_was_refused_and_later_blessed_counts_with_its_blessing():
    assert resolve(9, [blessing(5, blessed=0), blessing(5)]) == [5]


def test_a_model_that_was_not_released_is_skipped_though_the_evaluator_blessed_it():
    """Because InfraValidator or EdgeEvaluator refused it, or the push failed."""
    some = [blessing(3), blessing(5), blessing(7)]
    assert resolve(9, some, releases=Releases([3, 5], refused=[7])) == [3, 5]
    assert resolve(9, some, releases=Releases([3])) == [3]
    assert resolve(9, some, releases=Releases([], refused=[3, 5, 7])) == []


def test_what_is_older_than_the_days_before_the_candidate_is_left_out_except_the_last():
    some = [blessing(3, day=1), blessing(5, day=9.9), blessing(7, day=10.1), blessing(8, day=60)]
    assert resolve(9, some, day=100) == [7, 8]
    assert resolve(9, some, day=1000) == [8]


def test_of_too_many_some_are_left_out_evenly_and_never_the_oldest_or_the_last():
    some = [blessing(number) for number in range(1, 12)]
    assert resolve(20, some, models=3) == [1, 6, 11]
    assert resolve(20, some, models=2) == [1, 11]
    assert resolve(20, some, models=1) == [11]
    assert resolve(20, some, models=11) == list(range(1, 12))
    chosen = resolve(20, some, models=7)
    assert len(set(chosen)) == 7 and chosen == sorted(chosen)


def test_if_the_evaluation_of_the_last_model_is_gone_an_older_one_that_exists_is_found_too(tmp_path):
    folders = [tmp_path / str(number) for number in range(4)]
    some = [of_evaluation(number, folder, number) for number, folder in enumerate(folders)]
    for folder in folders[:2]:
        folder.mkdir()
    said: list[str] = []
    with progress.listening(said.append):
        assert resolve(9, some, day=1000) == [1, 3]
        folders[3].mkdir()
        assert resolve(9, some, day=1000) == [3]
        for folder in (folders[0], folders[1], folders[3]):
            folder.rmdir()
        assert resolve(9, some, day=1000) == [3]
    gone = "the evaluation of the last blessed model is gone"
    assert said == [f"{gone}: those of an older one are used", f"{gone}, and there are no older ones"]


# --- baselines for drift


class Store:
    """ML Metadata in memory, with the records of runs."""

    def __init__(self) -> None:
        config = pb.ConnectionConfig()
        config.fake_database.SetInParent()
        self.store = metadata_store.MetadataStore(config)
        self.everything: list[int] = []
        self.schema = self.artifact("Schema")

    def artifact(self, kind: str, **custom: int) -> int:
        artifact = pb.Artifact(type_id=self.store.put_artifact_type(pb.ArtifactType(name=kind)))
        for key, value in custom.items():
            artifact.custom_properties[key].int_value = value
        [identifier] = self.store.put_artifacts([artifact])
        return identifier

    def execute(self, component: str, inputs: list[int], outputs: list[int]) -> None:
        type_id = self.store.put_execution_type(pb.ExecutionType(name=component))
        [execution] = self.store.put_executions([pb.Execution(type_id=type_id)])
        kinds = [*zip(inputs, itertools.repeat(pb.Event.INPUT)), *zip(outputs, itertools.repeat(pb.Event.OUTPUT))]
        self.store.put_events([pb.Event(execution_id=execution, artifact_id=a, type=kind) for a, kind in kinds])

    def run(self) -> tuple[int, int]:
        """Record a run on new data, and return the ids of statistics and model. All runs use the same schema."""
        examples, statistics, transformed, others, model = (
            self.artifact(kind) for kind in ("Examples", "ExampleStatistics", "Examples", "ExampleStatistics", "Model")
        )
        self.execute("ImageExampleGen", [], [examples])
        self.execute("StatisticsGen", [examples, self.schema], [statistics])
        self.execute("Transform", [examples, self.schema], [transformed, others])
        self.execute("TwoPhaseTrainer", [transformed], [model])
        self.everything += [others, statistics]
        return statistics, model

    def release(self, model_id: int) -> None:
        """Record that a model was released."""
        pushed = self.artifact("PushedModel", pushed=1)
        self.execute("ReleasePusher", [model_id], [pushed])

    def resolve(self, candidate: int, statistics: list[int], blessings: list, folder: Path | None = None) -> list[int]:
        def artifact(number: int) -> standard_artifacts.ExampleStatistics:
            made = standard_artifacts.ExampleStatistics()
            made.id = number
            if folder is not None:
                made.uri = str(folder / str(number))
            return made

        inputs = {
            "candidate": [artifact(candidate)],
            "statistics": [artifact(number) for number in statistics],
            "model_blessing": blessings,
        }
        found = StatisticsOfLastBlessed().resolve_artifacts(self.store, inputs)
        assert [made.id for made in found["candidate"]] == [candidate] and found["model_blessing"] == []
        return [made.id for made in found["statistics"]]


@pytest.fixture
def store() -> Store:
    return Store()


def test_the_first_statistics_have_no_baseline(store):
    statistics, model_id = store.run()
    assert store.resolve(statistics, [statistics], []) == []
    # The same holds for a second run of the same data, which is served from the cache.
    assert store.resolve(statistics, [statistics], [blessing(model_id)]) == []


def test_drift_is_measured_against_the_data_of_the_latest_blessed_model(store):
    (first, of_first), (second, of_second), (third, of_third), (now, _) = (store.run() for _ in range(4))
    for released in (of_first, of_second, of_third):
        store.release(released)
    every = store.everything
    blessings = [blessing(of_second), blessing(of_first), blessing(of_third, blessed=0)]
    assert store.resolve(now, every, blessings) == [second]
    assert store.resolve(now, every, blessings[1:]) == [first]
    assert store.resolve(now, every, blessings[2:]) == []
    assert store.resolve(second, every, blessings) == [first]


def test_data_of_a_model_that_was_not_released_is_no_baseline(store):
    (first, of_first), (_, of_second), (now, _) = (store.run() for _ in range(3))
    blessings = [blessing(of_second), blessing(of_first)]
    assert store.resolve(now, store.everything, blessings) == []
    store.release(of_first)
    assert store.resolve(now, store.everything, blessings) == [first]


def test_statistics_of_an_older_release_are_from_the_same_kind_of_component(store):
    examples, statistics, others, model_id = map(
        store.artifact, ("Examples", "ExampleStatistics", "ExampleStatistics", "Model")
    )
    store.execute("tfx.components.statistics_gen.component.StatisticsGen", [examples], [statistics])
    store.execute("edgetune.components.transform.component.Transform", [examples], [others])
    store.execute("TwoPhaseTrainer", [examples], [model_id])
    store.release(model_id)
    new_examples, now = store.artifact("Examples"), store.artifact("ExampleStatistics")
    store.execute("edgetune.components.data_validation.component.StatisticsGen", [new_examples], [now])
    assert store.resolve(now, [statistics, others, now], [blessing(model_id)]) == [statistics]


def test_newer_statistics_of_the_same_examples_are_the_baseline(store):
    statistics, model_id = store.run()
    again = store.artifact("ExampleStatistics")
    examples = min(artifact.id for artifact in store.store.get_artifacts_by_type("Examples"))
    store.execute("StatisticsGen", [examples, store.schema], [again])
    now, _ = store.run()
    store.release(model_id)
    assert statistics in store.everything
    assert store.resolve(now, [*store.everything, again], [blessing(model_id)]) == [again]


# --- on the records that runs leave


def test_the_baseline_of_a_new_model_is_one_that_was_released_or_rolled_back_to(tmp_path):
    """By the resolver of the pipeline, on the records that a run, a refusal and a rollback leave."""
    nights = Nights(tmp_path)
    first = nights.night()
    nights.night(refused_by="EdgeEvaluator")
    nights.night()
    rollback(nights.settings, nights.workdir, first.version)
    store = open_store(connection(None, nights.db))
    blessings = []
    for number, found in enumerate(store.get_artifacts_by_type("ModelBlessing")):
        blessing = standard_artifacts.ModelBlessing()
        blessing.set_mlmd_artifact(found)
        model = store.get_artifacts_by_type("Model")[number]
        blessing.set_int_custom_property("current_model_id", model.id)
        blessings.append(blessing)
    candidate = standard_artifacts.Model()
    candidate.id = 10**6
    given = {"candidate": [candidate], "model_blessing": blessings}
    resolved = BlessingsBeforeCandidate(10**4, 30).resolve_artifacts(store, given)["model_blessing"]
    assert [blessing.id for blessing in resolved] == [blessings[0].id, blessings[2].id]


def test_statistics_that_are_gone_are_skipped_if_there_are_older_ones(store, tmp_path):
    (first, of_first), (second, of_second), (now, _) = (store.run() for _ in range(3))
    blessings = [blessing(of_first), blessing(of_second)]
    for model_id in (of_first, of_second):
        store.release(model_id)
    said: list[str] = []

    def resolved() -> list[int]:
        with progress.listening(said.append):
            return store.resolve(now, [first, second, now], blessings, tmp_path)

    for statistics in (first, second):
        (tmp_path / str(statistics)).mkdir()
    assert resolved() == [second] and said == []
    (tmp_path / str(second)).rmdir()
    assert resolved() == [first]
    (tmp_path / str(first)).rmdir()
    # The gate says that they cannot be read, and how to go on.
    assert resolved() == [second]
    gone = "the statistics of the last blessed model's data are gone"
    assert said == [f"{gone}: those of an older one are used", f"{gone}, and there are no older ones"]

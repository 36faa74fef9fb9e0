"""Flags for Beam from the settings, and the checks of an engine before a run."""

from __future__ import annotations

import http.server
import json
import os
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options import pipeline_options as beam_options

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.settings.execution import BeamSettings
from edgetune.pipeline.beam import flags as beam_engines
from edgetune.pipeline.beam.flags import beam_flags, ingest_flags, ingest_processes, memory_warning
from edgetune.pipeline.preflight import engine as engine_check
from edgetune.pipeline.preflight.engine import check_engine

POOL = {"environment_type": "external", "environment_config": "127.0.0.1:50000"}
FLINK = {"runner": "flink", "master": "http://127.0.0.1:8081", **POOL}
SPARK = {"runner": "spark", "master": "spark://127.0.0.1:7077", **POOL}
DATAFLOW = {
    "runner": "dataflow",
    "project": "birds",
    "region": "europe-west1",
    "temp_location": "gs://birds/tmp",
    "environment_config": "registry/edgetune:1",
}


def flags(**values: Any) -> list[str]:
    return beam_flags(BeamSettings.model_validate(values))


def read(given: list[str]) -> dict[str, Any]:
    """Parse the flags as Beam does."""
    return beam_options.PipelineOptions(given).get_all_options(drop_default=True)


# --- flags


def test_one_process_uses_beams_in_process_runner():
    assert flags()[0] == "--runner=FnApiRunner"
    assert "direct_num_workers" not in read(flags()) and "direct_running_mode" not in read(flags(workers=1))


def test_a_pipeline_without_a_runner_fails_in_every_test():
    with pytest.raises(ValueError, match="Unexpected pipeline runner: the_runner_that_a_pipeline_"):
        beam.Pipeline()
    beam.Pipeline(options=beam_options.PipelineOptions(flags()))


def test_several_local_workers_are_processes():
    options = read(flags(workers=3))
    assert (options["direct_running_mode"], options["direct_num_workers"]) == ("multi_processing", 3)


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Make this machine have the given number of cores and amount of memory."""

    monkeypatch.setattr(beam_engines, "_CONTAINER_LIMIT", tmp_path / "memory.max")

    def become(number: int, gibibytes: int = 1_000) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(number)))
        monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": gibibytes, "SC_PAGE_SIZE": 2**30}.get)

    return become


def processes(images: int | None, **values: Any) -> int:
    return ingest_processes(BeamSettings.model_validate(values), images)


def test_many_images_are_read_by_one_process_per_core_and_few_by_this_process(cores):
    cores(2)
    assert (processes(2_000), processes(1_000_000)) == (1, 2)
    cores(16)
    assert (processes(500), processes(1_000_000)) == (1, 16)
    assert read(ingest_flags(BeamSettings(), 1_000_000))["direct_num_workers"] == 16
    assert ingest_flags(BeamSettings(), 500) == []


def test_with_more_cores_several_processes_pay_off_for_fewer_images(cores):
    least = []
    for number in (2, 4, 16):
        cores(number)
        least.append(next(images for images in range(0, 100_000, 100) if processes(images) > 1))
    assert least == sorted(set(least), reverse=True)


def test_one_core_or_an_unknown_number_of_images_means_one_process(cores):
    cores(1)
    assert processes(10_000_000) == 1
    cores(8)
    assert processes(None) == 1


def test_memory_limits_the_number_of_processes(cores):
    cores(16, gibibytes=8)
    assert processes(1_000_000) == 4
    cores(16, gibibytes=2)
    assert processes(1_000_000) == 1


@pytest.mark.parametrize(("limit", "expected"), [("max\n", 16), (f"{9 << 30}\n", 4), (f"{2_000 << 30}\n", 16)])
def test_the_memory_of_the_container_limits_the_number_of_processes(cores, tmp_path, limit, expected):
    cores(16)
    (tmp_path / "memory.max").write_text(limit)
    assert processes(1_000_000) == expected


@pytest.mark.parametrize(
    "values", [FLINK, {"workers": 1}, {"workers": 3}, {"options": {"direct_num_workers": 3}}], ids=str
)
def test_settings_for_the_number_of_workers_are_respected(cores, values):
    cores(8)
    assert processes(1_000_000, **values) == 1


def test_there_is_a_warning_if_hashes_may_not_fit_into_memory_and_the_engine_has_no_disk(cores):
    cores(2, gibibytes=4)
    assert memory_warning(BeamSettings(), 200_000) is None
    assert memory_warning(BeamSettings(), None) is None
    assert memory_warning(BeamSettings.model_validate(FLINK), 100_000_000) is None
    warning = memory_warning(BeamSettings(), 300_000)
    assert warning and "300,000 images take about 3.0 GB" in warning and "only 4.3 GB" in warning


def test_flink_gets_the_job_as_a_jar_through_its_rest_endpoint():
    options = read(flags(**FLINK, workers=4, workers_per_machine=2, flink_version="1.19", job_server_jar="/jars/b.jar"))
    assert options["runner"] == "FlinkRunner" and options["flink_submit_uber_jar"] is True
    assert options["flink_master"] == "http://127.0.0.1:8081"
    assert (options["flink_version"], options["flink_job_server_jar"]) == ("1.19", "/jars/b.jar")
    assert (options["parallelism"], int(options["sdk_worker_parallelism"])) == (4, 2)
    assert (options["environment_type"], options["environment_config"]) == ("EXTERNAL", "127.0.0.1:50000")


def test_a_running_job_server_accepts_the_job_for_both_clusters():
    for runner in ("flink", "spark"):
        options = read(flags(runner=runner, job_server="localhost:8099", environment_config="image:1"))
        assert (options["runner"], options["job_endpoint"]) == ("PortableRunner", "localhost:8099")
        assert (options["environment_type"], options["environment_config"]) == ("DOCKER", "image:1")
        assert "flink_master" not in options and "spark_master_url" not in options


def test_spark_gets_the_job_from_beams_job_server():
    options = read(flags(**SPARK, workers_per_machine=2, job_server_jar="/jars/spark.jar"))
    assert (options["runner"], options["spark_master_url"]) == ("SparkRunner", "spark://127.0.0.1:7077")
    assert options["spark_job_server_jar"] == "/jars/spark.jar" and int(options["sdk_worker_parallelism"]) == 2


def test_loopback_workers_get_no_address():
    options = read(flags(runner="flink", master="[local]", environment_type="loopback", environment_config="x:1"))
    assert options["environment_type"] == "LOOPBACK" and "environment_config" not in options


def test_dataflow_uses_the_image():
    options = read(flags(**DATAFLOW, workers=20, machine="n1-highmem-4"))
    assert options["runner"] == "DataflowRunner"
    assert [options[name] for name in ("project", "region", "temp_location")] == [
        "birds",
        "europe-west1",
        "gs://birds/tmp",
    ]
    assert options["sdk_container_image"] == "registry/edgetune:1"
    assert (options["max_num_workers"], options["machine_type"]) == (20, "n1-highmem-4")


@pytest.mark.parametrize("engine", [{}, {"workers": 2}, FLINK, SPARK, DATAFLOW])
def test_tfx_packages_itself_for_no_engine(engine):
    from tfx.utils.dependency_utils import make_beam_dependency_flags

    assert make_beam_dependency_flags(flags(**engine)) == flags(**engine)


def test_other_options_are_passed_on_and_must_not_repeat_our_flags():
    given = flags(**DATAFLOW, options={"flexrs_goal": "COST_OPTIMIZED", "no_auth": True, "label": ["a=b", "c=d"]})
    options = read(given)
    assert options["flexrs_goal"] == "COST_OPTIMIZED" and options["no_auth"] is True
    assert options["labels"] == ["a=b", "c=d"]
    for name in ("runner", "project", "machine_type"):
        with pytest.raises(ConfigError, match=f"beam.options.{name}: with beam.runner dataflow, another setting"):
            flags(**{**DATAFLOW, "machine": "n1", "options": {name: "x"}})


def test_an_image_in_the_options_replaces_the_dummy_image():
    given = flags(**FLINK, options={"sdk_container_image": "mine:1"})
    assert [flag for flag in given if "sdk_container_image" in flag] == ["--sdk_container_image=mine:1"]


# --- checks before a run


class Rest(http.server.BaseHTTPRequestHandler):
    """Stand-in for Flink's REST endpoint."""

    overview: Any = {"flink-version": "1.19.3", "slots-total": 2}
    status = 200

    def do_GET(self) -> None:  # noqa: N802 - the base class's name
        known = self.path == "/v1/overview"
        self.send_response(self.status if known else 404)
        self.end_headers()
        self.wfile.write(json.dumps(self.overview).encode() if known else b"")

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def rest() -> Iterator[tuple[type[Rest], str]]:
    """Yield the handler, which tests may change, and `host:port`."""

    class Changed(Rest):
        pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Changed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Changed, f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def closed() -> Iterator[str]:
    """Yield an address on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


def check(folders: dict[str, str] | None = None, **values: Any) -> None:
    beam = BeamSettings.model_validate(values)
    check_engine(beam, beam_flags(beam), folders or {})


def refusal(**values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        check(**values)
    assert caught.value.remedy
    return caught.value.cause


def test_a_matching_cluster_passes(rest):
    _, address = rest
    for change in ({}, {"flink_version": "1.19"}, {"workers": 2}):
        check(**{**FLINK, "master": f"http://{address}/", "environment_config": address, **change})


def test_a_master_that_is_not_running_is_named(closed, rest):
    found = refusal(**{**FLINK, "master": f"http://{closed}"})
    assert found == f"beam.master http://{closed} (Flink) does not answer: Connection refused"
    assert (
        refusal(**{**SPARK, "master": f"spark://{closed}"})
        == f"beam.master {closed} does not answer: Connection refused"
    )


def test_an_unknown_host_is_named():
    assert "beam.master http://no-such-host.invalid:8081 (Flink) does not answer: " in refusal(
        **{**FLINK, "master": "http://no-such-host.invalid:8081"}
    )


def test_a_master_that_never_answers_is_given_up_after_a_timeout(monkeypatch):
    monkeypatch.setattr(engine_check, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert "does not answer: no answer within" in refusal(**{**FLINK, "master": f"http://{address}"})


def test_another_server_is_not_mistaken_for_flink(rest):
    handler, address = rest
    master = {**FLINK, "master": f"http://{address}"}
    for answer in ({"hello": 1}, ["flink-version"], "text", {"flink-version": "1.19", "slots-total": None}):
        handler.overview = answer
        assert refusal(**master) == f"beam.master http://{address} answers, but is not a Flink cluster"
    handler.status = 403
    assert "is not a Flink cluster: it answers 403" in refusal(**master)


def test_a_cluster_with_another_version_or_too_few_slots_is_rejected(rest):
    handler, address = rest
    master = {**FLINK, "master": f"http://{address}"}
    found = refusal(**master, flink_version="1.1")
    assert found == f"beam.flink_version is 1.1, but the cluster at http://{address} runs Flink 1.19.3"
    assert "beam.workers is 3, but the Flink cluster at " in refusal(**master, workers=3)
    handler.overview = {"flink-version": "1.19.3", "slots-total": 0}
    assert "has 0 slots" in refusal(**master)


def test_a_job_server_or_worker_pool_that_is_not_running_is_named(rest, closed):
    _, address = rest
    found = refusal(runner="flink", job_server=closed, **POOL)
    assert found == f"beam.job_server {closed} does not answer: Connection refused"
    found = refusal(**{**FLINK, "master": f"http://{address}", "environment_config": closed})
    assert found == f"beam.environment_config {closed} (the worker pool) does not answer: Connection refused"


def test_localhost_pools_of_a_remote_cluster_are_not_checked_from_here(monkeypatch, closed):
    asked = []
    monkeypatch.setattr(engine_check, "_check_flink", lambda beam, master: None)
    monkeypatch.setattr(engine_check, "_reach", lambda setting, address, *_: asked.append(address))
    check(**{**FLINK, "master": "http://flink.example.com:8081", "environment_config": "localhost:50000"})
    assert asked == []
    check(**{**FLINK, "master": "http://flink.example.com:8081", "environment_config": "pool.example.com:50000"})
    assert asked == ["pool.example.com:50000"]


def test_a_jar_must_exist_and_be_beams(tmp_path, rest):
    _, address = rest
    beam = {**FLINK, "master": f"http://{address}", "environment_config": address}
    jar = tmp_path / "server.jar"
    assert refusal(**beam, job_server_jar=str(jar)) == f"beam.job_server_jar {jar} does not exist"
    jar.write_text("no archive")
    assert refusal(**beam, job_server_jar=str(jar)) == f"beam.job_server_jar {jar} is not Beam's job server for flink"
    with zipfile.ZipFile(jar, "w") as content:
        content.writestr("org/apache/beam/runners/spark/SparkPipelineRunner.class", b"")
    assert "is not Beam's job server for flink" in refusal(**beam, job_server_jar=str(jar))
    with zipfile.ZipFile(jar, "a") as content:
        content.writestr("org/apache/beam/runners/flink/FlinkPipelineRunner.class", b"")
    check(**beam, job_server_jar=str(jar))
    check(**beam, job_server_jar="https://repository.example.com/server.jar")


def test_a_job_server_started_by_beam_needs_java(monkeypatch, rest):
    _, address = rest
    monkeypatch.setattr(engine_check.shutil, "which", lambda name: None)
    found = refusal(**{**SPARK, "master": f"spark://{address}"})
    assert "Beam needs Java to start its job server, but `java` is not on PATH" in found
    monkeypatch.setattr(engine_check.shutil, "which", lambda name: "/usr/bin/java")
    check(**{**SPARK, "master": f"spark://{address}", "environment_config": address})


def test_a_job_sent_to_spark_as_a_jar_needs_no_java_here_but_the_rest_endpoint_of_the_master(monkeypatch, rest, closed):
    _, address = rest
    monkeypatch.setattr(engine_check.shutil, "which", lambda name: None)
    beam = {**SPARK, "master": f"spark://{address}", "environment_config": address}
    jar = {"spark_submit_uber_jar": True}
    check(**beam, options={**jar, "spark_rest_url": f"http://{address}"})
    found = refusal(**beam, options={**jar, "spark_rest_url": f"http://{closed}"})
    assert found == f"beam.options.spark_rest_url {closed} does not answer: Connection refused"
    for wrong in ({}, {"spark_rest_url": "spark.example.com:6066"}, {"spark_rest_url": "http://spark.example.com:x"}):
        assert "this must be the URL of the master's REST endpoint" in refusal(**beam, options={**jar, **wrong})


def test_dataflow_needs_folders_that_its_workers_can_access_and_credentials(monkeypatch, tmp_path):
    found = refusal(**DATAFLOW, folders={"data.path": "gs://birds/photos", "state.root": "/workdir"})
    assert found == "state.root /workdir: Dataflow's workers cannot access folders of this machine"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "absent.json"))
    found = refusal(**DATAFLOW, folders={"data.path": "gs://birds/photos"})
    assert found.startswith("beam.runner dataflow: no Google Cloud credentials: ")


def test_a_value_that_beam_cannot_parse_is_named(capfd):
    found = refusal(options={"direct_runner_bundle_repeat": "many"})
    assert found == "beam.options: argument --direct_runner_bundle_repeat: invalid int value: 'many'"
    assert capfd.readouterr().err == ""
    check(options={"direct_runner_bundle_repeat": 1})

"""What can be known of an engine before anything is started on it: whether it answers, and whether it fits."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import socket
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.settings.execution import BeamSettings

_SECONDS = 3.0
_RUNNER_CLASS = {
    "flink": "org/apache/beam/runners/flink/FlinkPipelineRunner.class",
    "spark": "org/apache/beam/runners/spark/SparkPipelineRunner.class",
}


def check_engine(beam: BeamSettings, flags: Sequence[str], places: Mapping[str, str]) -> None:
    """Asks the engine; nothing is started.

    Args:
        beam: The settings.
        flags: What `beam_flags` made of them.
        places: Folders that the workers read and write, by what a user calls them.

    Raises:
        ConfigError: The cluster, its job server or its worker pool does not answer within three seconds; is not of the
            version, or has not the slots, that the settings ask for; the jar is not Beam's; Beam cannot read a flag;
            Dataflow's workers could not see one of the places, or nobody is signed in.
    """
    if beam.options:
        _check_options(beam, flags)
    if beam.runner == "direct":
        return
    if beam.runner == "dataflow":
        _check_dataflow(places)
        return
    if beam.job_server is not None:
        _reach("beam.job_server", beam.job_server, "start Beam's job server, or correct the address")
    else:
        _check_jar(beam)
        master = str(beam.master)
        if master.startswith("http"):
            _check_flink(beam, master.rstrip("/"))
        elif master.startswith("spark://"):
            # A master has standby ones, separated by commas; one is enough.
            address = master.removeprefix("spark://").split(",")[0]
            _reach("beam.master", address, "start the Spark master, or correct the address")
        if beam.runner == "spark" and beam.options.get("spark_submit_uber_jar"):
            _check_spark_rest(str(beam.options.get("spark_rest_url", "")))
        elif not master.startswith("http") and shutil.which("java") is None:
            raise ConfigError(
                f"beam.master {master}: Beam starts its job server with Java, and there is no `java` here",
                "install a Java runtime, or name a running job server in beam.job_server",
            )
    if beam.environment_type == "external" and not _is_of_the_cluster(beam):
        start = "start it on the cluster's machines (docs/beam.md), or correct the address"
        _reach("beam.environment_config", str(beam.environment_config), start, "the worker pool")


def _check_flink(beam: BeamSettings, master: str) -> None:
    url = f"{master}/v1/overview"
    remedy = f"start the Flink cluster, or correct beam.master; {url} must show it"
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer:
            cluster = json.load(answer)
        version, slots = str(cluster["flink-version"]), int(cluster["slots-total"])
    except urllib.error.HTTPError as error:
        raise ConfigError(f"beam.master {master} is no Flink: it answers {error.code} {error.reason}", remedy) from None
    except (ValueError, TypeError, KeyError):
        raise ConfigError(f"beam.master {master} answers, but is no Flink", remedy) from None
    except OSError as error:
        raise ConfigError(f"beam.master {master} (Flink) does not answer: {_reason(error)}", remedy) from None
    if beam.flink_version is not None and not f"{version}.".startswith(f"{beam.flink_version}."):
        raise ConfigError(
            f"beam.flink_version is {beam.flink_version}, and the cluster at {master} runs Flink {version}",
            "correct beam.flink_version, or leave it out",
        )
    if slots < (beam.workers or 1):
        raise ConfigError(
            f"beam.workers is {beam.workers or 1}, and the Flink cluster at {master} has {slots} slots: "
            "the job would wait for more until it fails",
            "start more TaskManagers, or ask for fewer workers",
        )


def _check_spark_rest(url: str) -> None:
    """Of a job that goes to Spark as one jar; Beam itself starts nothing then."""
    setting = "beam.options.spark_rest_url"
    try:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname or not address.port:
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"{setting} {url!r}: with spark_submit_uber_jar it must be the URL of the master's REST endpoint",
            "for example http://spark.example.com:6066",
        ) from None
    _reach(setting, address.netloc, "start the master with spark.master.rest.enabled, or correct the address")


def _check_jar(beam: BeamSettings) -> None:
    jar = beam.job_server_jar
    if jar is None or "://" in jar:
        return
    remedy = "name the jar beam-runners-<engine>-job-server of Beam's own version, or leave beam.job_server_jar out"
    if not Path(jar).is_file():
        raise ConfigError(f"beam.job_server_jar {jar} does not exist", remedy)
    try:
        with zipfile.ZipFile(jar) as content:
            content.getinfo(_RUNNER_CLASS[beam.runner])
    except (zipfile.BadZipFile, KeyError, OSError):
        raise ConfigError(f"beam.job_server_jar {jar} is not Beam's job server for {beam.runner}", remedy) from None


def _check_dataflow(places: Mapping[str, str]) -> None:
    for name, place in places.items():
        if "://" not in place:
            raise ConfigError(
                f"{name} {place}: machines of Dataflow cannot see folders of this one",
                "put data and results on gs://; or take beam.runner direct or flink",
            )
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        google.auth.default()
    except GoogleAuthError as error:
        raise ConfigError(
            f"beam.runner dataflow: no credentials of Google Cloud: {str(error).splitlines()[0]}",
            "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
        ) from None


def _check_options(beam: BeamSettings, flags: Sequence[str]) -> None:
    from apache_beam.options.pipeline_options import PipelineOptions

    said = io.StringIO()
    try:
        # Beam's parser leaves the process where a value is none; the last line of what it says is the reason.
        with contextlib.redirect_stderr(said):
            PipelineOptions(list(flags)).get_all_options()
    except (SystemExit, ValueError) as error:
        lines = said.getvalue().strip().splitlines() or [str(error)]
        raise ConfigError(
            f"beam.options: {lines[-1].rpartition('error: ')[2]}",
            f"correct {', '.join(f'beam.options.{name}' for name in beam.options)}",
        ) from None


def _is_of_the_cluster(beam: BeamSettings) -> bool:
    """Whether the pool's address is one that only the cluster's machines have: beside each of them runs a pool."""
    cluster = beam.job_server or urlsplit(str(beam.master)).netloc
    return _is_here(str(beam.environment_config)) and not _is_here(cluster)


def _is_here(address: str) -> bool:
    host = address.rpartition(":")[0] or address
    return host == "localhost" or host.startswith("127.") or not host


def _reach(setting: str, address: str, remedy: str, what: str = "") -> None:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_SECONDS):
            pass
    except (OSError, OverflowError) as error:
        called = f" ({what})" if what else ""
        raise ConfigError(f"{setting} {address}{called} does not answer: {_reason(error)}", remedy) from None


def _reason(error: Any) -> str:
    """Few words for why a connection failed."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return f"nothing within {_SECONDS:.0f} seconds"
    return getattr(cause, "strerror", None) or str(cause)

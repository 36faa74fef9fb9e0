"""Check a Beam engine before a run: that it answers, and that it matches the settings."""

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
from edgetune.modules.core.wording import counted
from edgetune.modules.settings.execution import BeamSettings

_SECONDS = 3.0
_RUNNER_CLASS = {
    "flink": "org/apache/beam/runners/flink/FlinkPipelineRunner.class",
    "spark": "org/apache/beam/runners/spark/SparkPipelineRunner.class",
}


def check_engine(beam: BeamSettings, flags: Sequence[str], folders: Mapping[str, str]) -> None:
    """Check that the engine can run the jobs, without starting anything.

    Args:
        beam: The settings.
        flags: The flags that `beam_flags` returned for them.
        folders: Folders or URLs that the workers read and write, by the name of their setting.

    Raises:
        ConfigError: The cluster, its job server or its worker pool does not answer within three seconds, or has another
            version or fewer slots than the settings require; the jar is not Beam's; Beam cannot parse a flag;
            Dataflow's workers cannot access one of the folders, or there are no credentials.
    """
    if beam.options:
        _check_options(beam, flags)
    if beam.runner == "direct":
        return
    if beam.runner == "dataflow":
        _check_dataflow(folders)
        return
    if beam.job_server is not None:
        _reach("beam.job_server", beam.job_server, "start Beam's job server, or correct the address")
    else:
        _check_jar(beam)
        master = str(beam.master)
        if master.startswith("http"):
            _check_flink(beam, master.rstrip("/"))
        elif master.startswith("spark://"):
            # A comma-separated list of a master and its standby masters; checking one is enough.
            address = master.removeprefix("spark://").split(",")[0]
            _reach("beam.master", address, "start the Spark master, or correct the address")
        if beam.runner == "spark" and beam.options.get("spark_submit_uber_jar"):
            _check_spark_rest(str(beam.options.get("spark_rest_url", "")))
        elif not master.startswith("http") and shutil.which("java") is None:
            raise ConfigError(
                f"beam.master {master}: Beam needs Java to start its job server, but `java` is not on PATH",
                "install a Java runtime, or name a running job server in beam.job_server",
            )
    if beam.environment_type == "external" and not _is_local_to_cluster(beam):
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
        cause = f"beam.master {master} is not a Flink cluster: it answers {error.code} {error.reason}"
        raise ConfigError(cause, remedy) from None
    except (ValueError, TypeError, KeyError):
        raise ConfigError(f"beam.master {master} answers, but is not a Flink cluster", remedy) from None
    except OSError as error:
        raise ConfigError(f"beam.master {master} (Flink) does not answer: {_reason(error)}", remedy) from None
    if beam.flink_version is not None and not f"{version}.".startswith(f"{beam.flink_version}."):
        raise ConfigError(
            f"beam.flink_version is {beam.flink_version}, but the cluster at {master} runs Flink {version}",
            "correct beam.flink_version, or leave it out",
        )
    if slots < (beam.workers or 1):
        raise ConfigError(
            f"beam.workers is {beam.workers or 1}, but the Flink cluster at {master} has {counted(slots, 'slot')}: "
            "the job would wait for more slots until it fails",
            "start more TaskManagers, or lower beam.workers",
        )


def _check_spark_rest(url: str) -> None:
    """Check the REST endpoint that takes a job as one jar; Beam starts no job server then."""
    setting = "beam.options.spark_rest_url"
    try:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname or not address.port:
            raise ValueError
    except ValueError:
        raise ConfigError(
            f"{setting} {url!r}: with spark_submit_uber_jar, this must be the URL of the master's REST endpoint",
            "set it, for example to http://spark.example.com:6066",
        ) from None
    _reach(setting, address.netloc, "start the master with spark.master.rest.enabled, or correct the address")


def _check_jar(beam: BeamSettings) -> None:
    jar = beam.job_server_jar
    if jar is None or "://" in jar:
        return
    remedy = (
        "name the jar beam-runners-<engine>-job-server of the installed Beam's version, or omit beam.job_server_jar"
    )
    if not Path(jar).is_file():
        raise ConfigError(f"beam.job_server_jar {jar} does not exist", remedy)
    try:
        with zipfile.ZipFile(jar) as content:
            content.getinfo(_RUNNER_CLASS[beam.runner])
    except (zipfile.BadZipFile, KeyError, OSError):
        raise ConfigError(f"beam.job_server_jar {jar} is not Beam's job server for {beam.runner}", remedy) from None


def _check_dataflow(folders: Mapping[str, str]) -> None:
    for name, folder in folders.items():
        if "://" not in folder:
            raise ConfigError(
                f"{name} {folder}: Dataflow's workers cannot access folders of this machine",
                "put data and results on gs://, or set beam.runner to direct or flink",
            )
    import google.auth
    from google.auth.exceptions import GoogleAuthError

    try:
        google.auth.default()
    except GoogleAuthError as error:
        raise ConfigError(
            f"beam.runner dataflow: no Google Cloud credentials: {str(error).splitlines()[0]}",
            "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
        ) from None


def _check_options(beam: BeamSettings, flags: Sequence[str]) -> None:
    from apache_beam.options.pipeline_options import PipelineOptions

    output = io.StringIO()
    try:
        # Beam's parser exits the process on an invalid value; the last line that it prints is the reason.
        with contextlib.redirect_stderr(output):
            PipelineOptions(list(flags)).get_all_options()
    except (SystemExit, ValueError) as error:
        lines = output.getvalue().strip().splitlines() or [str(error)]
        raise ConfigError(
            f"beam.options: {lines[-1].rpartition('error: ')[2]}",
            f"correct {', '.join(f'beam.options.{name}' for name in beam.options)}",
        ) from None


def _is_local_to_cluster(beam: BeamSettings) -> bool:
    """Return whether the pool's address is a localhost of the cluster's machines, each of which runs a pool."""
    cluster = beam.job_server or urlsplit(str(beam.master)).netloc
    return _is_localhost(str(beam.environment_config)) and not _is_localhost(cluster)


def _is_localhost(address: str) -> bool:
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
    """Return in a few words why a connection failed."""
    cause = getattr(error, "reason", error)
    if isinstance(cause, TimeoutError):
        return f"no answer within {_SECONDS:.0f} seconds"
    return getattr(cause, "strerror", None) or str(cause)

"""The settings of Beam: which engine the data components run on, and what that engine must be told.

Keys that an engine does not use are left alone, so that one file can describe a cluster and `--set beam.runner=direct`
still runs it here.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, field_validator, model_validator

from edgetune.modules.settings.base import Positive, Settings

Address = Annotated[str, Field(pattern=r"^[^\s:/]+:[0-9]{1,5}$")]
_OPTION = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_HOST_AND_PORT = re.compile(r"[^\s:/]+:[0-9]{1,5}")
_MASTERS = {
    "flink": (re.compile(r"https?://[^\s/]+/?|\[local\]"), "`http://host:8081`, or `[local]` for one on this machine"),
    "spark": (re.compile(r"spark://\S+:[0-9]+|local(\[[0-9*]+\])?"), "`spark://host:7077`, or `local[2]` for one here"),
}


class BeamSettings(Settings):
    """Where the data components run, and TFX's Evaluator: docs/beam.md has an example for each engine."""

    runner: Literal["direct", "flink", "spark", "dataflow"] = "direct"
    """Engine: `direct` is this machine, `flink` and `spark` are clusters of one's own, `dataflow` is Google's."""
    workers: Positive | None = None
    """Parallel workers: processes of this machine (`direct`), slots of the cluster (`flink`), machines at most
    (`dataflow`); null for what is fastest here, which is one process, but for ImageExampleGen one on each core where
    there are many images, and elsewhere for the engine's own choice."""
    workers_per_machine: Positive = 1
    """Python processes on each machine of a Flink or Spark cluster; as many as it has slots or cores."""
    master: str | None = None
    """The cluster: `http://host:8081` of Flink's REST endpoint, `spark://host:7077` of Spark; `[local]` or `local[2]`
    for one that Beam starts on this machine."""
    job_server: Address | None = None
    """`host:port` of a Beam job server that is already running; it knows its cluster, and `master` is not needed."""
    job_server_jar: str | None = None
    """Beam's job server for Flink or Spark, a `.jar` file or its URL; null for the one that Beam itself downloads."""
    flink_version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")] | None = None
    """Version that the Flink cluster must have, such as `"1.19"`; null for the one that it has."""
    environment_type: Literal["docker", "process", "external", "loopback"] = "docker"
    """How a Flink or Spark cluster gets its Python workers: from an image, by a command, from a worker pool that is
    running, or (`loopback`, to try things) in this process."""
    environment_config: str | None = None
    """What `environment_type` needs, and `dataflow`: the image, a JSON object with `command` and `env`, or `host:port`
    of the worker pool as the cluster sees it."""
    project: str | None = None
    """Google Cloud project of `dataflow`."""
    region: str | None = None
    """Region of `dataflow`, such as `europe-west1`."""
    temp_location: Annotated[str, Field(pattern="^gs://[^/]+.*$")] | None = None
    """Folder for what `dataflow` keeps while it runs, on `gs://`."""
    machine: str | None = None
    """Machine type of `dataflow`, such as `n1-standard-4`; null for Google's choice."""
    options: Annotated[dict[str, Any], WithJsonSchema({"type": "object"})] = {}
    """Any other flags of Beam and its runner by name, without the dashes: text, numbers, `true` for a flag without a
    value, a list for one that is given several times."""

    @field_validator("options")
    @classmethod
    def _are_flags(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name, value in options.items():
            if not _OPTION.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a flag: letters, digits and `_`, without dashes before it")
            values = value if isinstance(value, list) else [value]
            if not values or not all(isinstance(item, str | int | float) for item in values):
                raise ValueError(f"{name} is {json.dumps(value)}, but must be text, a number, true, or a list of those")
            if any(item is False for item in values):
                raise ValueError(f"{name} is false: a flag without a value is given or left out; Beam's own flag names")
        return options

    @model_validator(mode="after")
    def _engine_is_described(self) -> BeamSettings:
        if self.runner == "direct":
            return self
        if self.runner == "dataflow":
            needed = ("project", "region", "temp_location", "environment_config")
            if missing := [name for name in needed if not getattr(self, name)]:
                names = ", ".join(f"beam.{name}" for name in missing)
                raise ValueError(f"the runner dataflow needs {names} (environment_config is the workers' image)")
            return self
        if self.job_server is None:
            pattern, example = _MASTERS[self.runner]
            if self.master is None:
                raise ValueError(f"the runner {self.runner} needs beam.master, {example}, or beam.job_server")
            if not pattern.fullmatch(self.master):
                raise ValueError(f"beam.master {self.master!r} is no address of a cluster: {example}")
        self._check_environment()
        return self

    def _check_environment(self) -> None:
        kind, config = self.environment_type, self.environment_config
        if kind == "loopback":
            return
        if not config:
            needed = {
                "docker": "an image that holds edgetune and its environment",
                "process": 'a JSON object such as {"command": "/path/to/boot"}',
                "external": "host:port of the worker pool",
            }[kind]
            raise ValueError(f"environment_type {kind} needs beam.environment_config: {needed}")
        if kind == "process":
            try:
                described = json.loads(config)
            except ValueError:
                described = None
            if not isinstance(described, dict) or not described.get("command"):
                raise ValueError(f"beam.environment_config {config!r} is no JSON object with a `command`")
        elif kind == "external" and not _HOST_AND_PORT.fullmatch(config):
            raise ValueError(f"beam.environment_config {config!r} is not host:port of a worker pool")

"""Settings of where a run takes place: Beam's engine, container platforms, artifacts and metadata.

Keys that an engine does not use are ignored, so that one file can describe a cluster and `--set beam.runner=direct`
still runs it on this machine.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pydantic import AfterValidator, Field, PlainSerializer, WithJsonSchema, field_validator, model_validator

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


# What Vertex AI names so in its `AcceleratorType`, and still offers.
# https://cloud.google.com/vertex-ai/docs/reference/rest/v1/MachineSpec
# fmt: off
Accelerator = Literal[
    "NVIDIA_TESLA_P4", "NVIDIA_TESLA_P100", "NVIDIA_TESLA_V100", "NVIDIA_TESLA_T4", "NVIDIA_TESLA_A100",
    "NVIDIA_A100_80GB", "NVIDIA_L4", "NVIDIA_H100_80GB", "NVIDIA_H100_MEGA_80GB", "NVIDIA_H200_141GB", "NVIDIA_B200",
    "TPU_V2", "TPU_V3",
]
# fmt: on
NotEmpty = Annotated[str, Field(min_length=1)]
# The bounds are Vertex AI's. https://cloud.google.com/vertex-ai/docs/pipelines/machine-types
Cpus = Annotated[float, Field(gt=0.0, le=96.0)]
Gigabytes = Annotated[float, Field(gt=0.0, le=624.0)]


class Resources(Settings):
    """What the container of a component may use; what it leaves open is as in `platform.resources.default`."""

    cpu: Cpus | None = None
    """Processors; null in `default` leaves it to the platform."""
    memory_gb: Gigabytes | None = None
    """Memory, in gigabytes; null in `default` leaves it to the platform."""
    accelerator: Accelerator | None = None
    """Accelerator; Kubeflow asks its cluster for any GPU, or any TPU, and leaves the kind to the cluster's nodes."""
    accelerator_count: Annotated[int, Field(ge=1, le=16)] = 1
    """Accelerators of one container, where it has any."""


class ComponentResources(Settings):
    """What each component's container may use."""

    default: Resources = Resources()
    """For what a component leaves open."""
    ImageExampleGen: Resources = Resources()
    """Reads the images."""
    ImportSchemaGen: Resources = Resources()
    """Copies the schema."""
    StatisticsGen: Resources = Resources()
    """Counts and measures."""
    ExampleValidator: Resources = Resources()
    """Compares the statistics with the schema."""
    DatasetGate: Resources = Resources()
    """Judges the data."""
    Transform: Resources = Resources()
    """Decodes and resizes the images."""
    TwoPhaseTrainer: Resources = Resources()
    """Trains."""
    Evaluator: Resources = Resources()
    """Measures the SavedModel."""
    EdgeExporter: Resources = Resources()
    """Converts to LiteRT."""
    EdgeEvaluator: Resources = Resources()
    """Measures the LiteRT models, in an interpreter that uses the processor."""
    SavedModelPusher: Resources = Resources()
    """Delivers the SavedModel."""
    EdgePusher: Resources = Resources()
    """Delivers the edge bundle."""

    def of(self, component: str) -> Resources:
        """What a component's container may use, with what it leaves open filled in from `default`."""
        own: Resources = getattr(self, component)
        given = {name: value for name in ("cpu", "memory_gb") if (value := getattr(own, name)) is not None}
        if own.accelerator is not None:
            given |= {"accelerator": own.accelerator, "accelerator_count": own.accelerator_count}
        return self.default.model_copy(update=given)


class PlatformSettings(Settings):
    """How a compiled pipeline runs in containers: `edgetune compile`; where it runs is said to `edgetune submit`."""

    image: NotEmpty | None = None
    """Container image that holds edgetune, as the `Dockerfile` builds it; `--image` stands for it."""
    resources: ComponentResources = ComponentResources()
    """What each component's container may use."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a component that failed is tried again."""
    retry_wait: Annotated[int, Field(ge=0, le=3600)] = 60
    """Seconds until the first of them; each wait is twice the one before, up to an hour."""
    cache: bool = True
    """Take results of earlier runs where nothing they depend on has changed."""


METADATA_PORTS = {"postgresql": 5432, "mysql": 3306}
"""Kinds of servers that ML Metadata keeps its records on, and their usual ports."""
TLS_OPTIONS = {
    "postgresql": ("sslmode", "sslcert", "sslkey", "sslrootcert"),
    "mysql": ("ssl_cert", "ssl_key", "ssl_ca"),
}
"""What may follow the `?` of such a server's URL."""


def without_password(url: str) -> str:
    """The URL with `***` for its password, for people and files."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))


def _checked(url: str) -> str:
    """Says what is wrong without repeating the URL, which may hold a password."""
    forms = " or ".join(f"{kind}://user@host:{port}/database" for kind, port in METADATA_PORTS.items())
    try:
        parts = urlsplit(url)
        problem = _problem(parts)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:  # whose message may quote a part of the password
        problem = "it cannot be read: write what is special in a name or password as %XX"
    if problem:
        raise ValueError(f"{problem}; it must be of the form {forms}")
    return url


def _problem(parts: SplitResult) -> str:
    if parts.scheme not in METADATA_PORTS:
        return "it names no kind of server that is known"
    if not parts.hostname or not parts.username:
        return "it names no host" if not parts.hostname else "it names no user"
    if not parts.path.strip("/") or "/" in parts.path.strip("/") or parts.fragment:
        return "it names no database"
    keys = [option.partition("=")[0] for option in parts.query.split("&") if option]
    allowed = TLS_OPTIONS[parts.scheme]
    unknown = [key for key in keys if key not in allowed]
    return f"the option {unknown[0]} is none of {', '.join(allowed)}" if unknown else ""


class StateSettings(Settings):
    """Where a run keeps its artifacts and its records; by default in the workdir."""

    root: Annotated[str, Field(min_length=1)] | None = None
    """Folder or URL (`gs://...`, `s3://...`) of all pipelines' artifacts, each in a folder of its name; null for
    `<workdir>/tfx_pipeline_output`."""
    metadata: Annotated[str, AfterValidator(_checked), PlainSerializer(without_password)] | None = Field(
        default=None, repr=False
    )
    """Server of ML Metadata, such as `postgresql://user@host:5432/database` or `mysql://...`, with the password in the
    environment variable EDGETUNE_METADATA_PASSWORD; null for a file in the workdir."""

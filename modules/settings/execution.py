"""Settings of where a run executes: Beam's engine, container platforms, artifacts and metadata.

Keys that an engine does not use are ignored, so that `--set beam.runner=direct` runs a file that describes a cluster on
this machine.
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
    "spark": (
        re.compile(r"spark://\S+:[0-9]+|local(\[[0-9*]+\])?"),
        "`spark://host:7077`, or `local[2]` for one on this machine",
    ),
}


class BeamSettings(Settings):
    """Where the data components and TFX's Evaluator run; docs/beam.md has an example for each engine."""

    runner: Literal["direct", "flink", "spark", "dataflow"] = "direct"
    """Engine: `direct` is this machine, `flink` and `spark` are clusters of your own, `dataflow` is Google's."""
    workers: Positive | None = None
    """Parallel workers: processes on this machine (`direct`), slots of the cluster (`flink`), or the maximum number of
    machines (`dataflow`). null uses the engine's default; on this machine one process, which is fastest, but one per
    core for ImageExampleGen if there are many images."""
    workers_per_machine: Positive = 1
    """Python processes on each machine of a Flink or Spark cluster; use the machine's number of slots or cores."""
    master: str | None = None
    """URL of the cluster: `http://host:8081` (Flink's REST endpoint) or `spark://host:7077`; `[local]` (Flink) or
    `local[2]` (Spark) for one that Beam starts on this machine."""
    job_server: Address | None = None
    """`host:port` of a running Beam job server; it is already connected to a cluster, so `master` is not needed."""
    job_server_jar: str | None = None
    """Path or URL of the `.jar` of Beam's job server for Flink or Spark; null lets Beam download it."""
    flink_version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")] | None = None
    """Required version of the Flink cluster, such as `"1.19"`; null uses the version that it has."""
    environment_type: Literal["docker", "process", "external", "loopback"] = "docker"
    """How a Flink or Spark cluster gets its Python workers: from an image, by a command, from a running worker pool, or
    in this process (`loopback`, for experiments)."""
    environment_config: str | None = None
    """Argument of `environment_type`: the image (`docker`, and `dataflow`), a JSON object with `command` and `env`
    (`process`), or `host:port` of the worker pool as seen from the cluster (`external`)."""
    project: str | None = None
    """Google Cloud project for `dataflow`."""
    region: str | None = None
    """Region for `dataflow`, such as `europe-west1`."""
    temp_location: Annotated[str, Field(pattern="^gs://[^/]+.*$")] | None = None
    """Folder on `gs://` for temporary files of `dataflow`."""
    machine: str | None = None
    """Machine type for `dataflow`, such as `n1-standard-4`; null for Google's default."""
    options: Annotated[dict[str, Any], WithJsonSchema({"type": "object"})] = {}
    """Other flags of Beam and its runner by name, without the dashes: text, numbers, `true` for a flag without a value,
    a list for a flag that is given several times."""

    @field_validator("options")
    @classmethod
    def _are_flags(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name, value in options.items():
            if not _OPTION.fullmatch(name):
                raise ValueError(f"{name!r} is not a flag name: use letters, digits and `_`, without leading dashes")
            values = value if isinstance(value, list) else [value]
            if not values or not all(isinstance(item, str | int | float) for item in values):
                raise ValueError(f"{name} is {json.dumps(value)}, but must be text, a number, true, or a list of those")
            if any(item is False for item in values):
                raise ValueError(
                    f"{name} is false: leave out a flag without a value, or use Beam's own flag to turn it off"
                )
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
                raise ValueError(f"beam.master {self.master!r} is not the address of a cluster: {example}")
        self._check_environment()
        return self

    def _check_environment(self) -> None:
        kind, config = self.environment_type, self.environment_config
        if kind == "loopback":
            return
        if not config:
            needed = {
                "docker": "an image with edgetune and its environment",
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
                raise ValueError(f"beam.environment_config {config!r} is not a JSON object with a `command`")
        elif kind == "external" and not _HOST_AND_PORT.fullmatch(config):
            raise ValueError(f"beam.environment_config {config!r} is not host:port of a worker pool")


# The values of Vertex AI's `AcceleratorType` that it still offers.
# https://cloud.google.com/vertex-ai/docs/reference/rest/v1/MachineSpec
# fmt: off
Accelerator = Literal[
    "NVIDIA_TESLA_P4", "NVIDIA_TESLA_P100", "NVIDIA_TESLA_V100", "NVIDIA_TESLA_T4", "NVIDIA_TESLA_A100",
    "NVIDIA_A100_80GB", "NVIDIA_L4", "NVIDIA_H100_80GB", "NVIDIA_H100_MEGA_80GB", "NVIDIA_H200_141GB", "NVIDIA_B200",
    "TPU_V2", "TPU_V3",
]
# fmt: on
NotEmpty = Annotated[str, Field(min_length=1)]
# These are the limits of Vertex AI. https://cloud.google.com/vertex-ai/docs/pipelines/machine-types
Cpus = Annotated[float, Field(gt=0.0, le=96.0)]
Gigabytes = Annotated[float, Field(gt=0.0, le=624.0)]


class Resources(Settings):
    """Resources of a component's container; unset ones are taken from `platform.resources.default`."""

    cpu: Cpus | None = None
    """Processors; null in `default` uses the platform's default."""
    memory_gb: Gigabytes | None = None
    """Memory, in gigabytes; null in `default` uses the platform's default."""
    accelerator: Accelerator | None = None
    """Kind of accelerator. Kubeflow only requests some GPU or TPU; the cluster's nodes determine the kind."""
    accelerator_count: Annotated[int, Field(ge=1, le=16)] = 1
    """Number of accelerators of one container, if it has any."""


class ComponentResources(Settings):
    """Resources of each component's container."""

    default: Resources = Resources()
    """Used where a component sets none."""
    ImageExampleGen: Resources = Resources()
    """Reads the images."""
    ImportSchemaGen: Resources = Resources()
    """Copies the schema."""
    StatisticsGen: Resources = Resources()
    """Computes statistics of the examples."""
    ExampleValidator: Resources = Resources()
    """Compares the statistics with the schema."""
    DatasetGate: Resources = Resources()
    """Checks the data for findings."""
    LabelReviewer: Resources = Resources()
    """Judges labels on features of the pretrained backbone, if `data.review_labels` is set."""
    Transform: Resources = Resources()
    """Decodes and resizes the images."""
    TwoPhaseTrainer: Resources = Resources()
    """Trains the model."""
    CrossValidator: Resources = Resources()
    """Trains heads on parts of all images, if `evaluation.folds` is set."""
    Evaluator: Resources = Resources()
    """Evaluates the SavedModel."""
    InfraValidator: Resources = Resources()
    """Asks the SavedModel in a process of its own, on the CPU."""
    EdgeExporter: Resources = Resources()
    """Converts to LiteRT."""
    EdgeDescriber: Resources = Resources()
    """Writes class names and texts into the LiteRT models."""
    EdgeEvaluator: Resources = Resources()
    """Evaluates the LiteRT models, in an interpreter that runs on the CPU."""
    ReleasePusher: Resources = Resources()
    """Pushes the SavedModel and the edge bundle."""

    def of(self, component: str) -> Resources:
        """Return the resources of a component's container, with unset ones filled in from `default`."""
        own: Resources = getattr(self, component)
        given = {name: value for name in ("cpu", "memory_gb") if (value := getattr(own, name)) is not None}
        if own.accelerator is not None:
            given |= {"accelerator": own.accelerator, "accelerator_count": own.accelerator_count}
        return self.default.model_copy(update=given)


class PlatformSettings(Settings):
    """How a pipeline compiled by `edgetune compile` runs in containers; `edgetune submit` takes where it runs."""

    image: NotEmpty | None = None
    """Container image with edgetune, as the `Dockerfile` builds it; same as `--image`."""
    resources: ComponentResources = ComponentResources()
    """Resources of each component's container."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a failed component is retried."""
    retry_wait: Annotated[int, Field(ge=0, le=3600)] = 60
    """Seconds before the first retry; each further wait is twice as long, up to an hour."""
    cache: bool = True
    """Reuse results of earlier runs if nothing that they depend on has changed."""


METADATA_PORTS = {"postgresql": 5432, "mysql": 3306}
"""Kinds of database servers that ML Metadata supports, and their usual ports."""
TLS_OPTIONS = {
    "postgresql": ("sslmode", "sslcert", "sslkey", "sslrootcert"),
    "mysql": ("ssl_cert", "ssl_key", "ssl_ca"),
}
"""Options allowed after the `?` of such a server's URL."""


def without_password(url: str) -> str:
    """Return the URL with `***` in place of its password, for output and files."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))


def _checked(url: str) -> str:
    """Check a metadata URL; error messages do not repeat it, because it may contain a password."""
    forms = " or ".join(f"{kind}://user@host:{port}/database" for kind, port in METADATA_PORTS.items())
    try:
        parts = urlsplit(url)
        problem = _problem(parts)
        parts.port  # noqa: B018 - raises ValueError if it is not a number
    except ValueError:  # its message may quote part of the password
        problem = "it cannot be parsed: write special characters in a name or password as %XX"
    if problem:
        raise ValueError(f"{problem}; it must be of the form {forms}")
    return url


def _problem(parts: SplitResult) -> str:
    if parts.scheme not in METADATA_PORTS:
        return "it does not begin with a supported kind of server"
    if not parts.hostname or not parts.username:
        return "it has no host" if not parts.hostname else "it has no user"
    if not parts.path.strip("/") or "/" in parts.path.strip("/") or parts.fragment:
        return "it has no database"
    keys = [option.partition("=")[0] for option in parts.query.split("&") if option]
    allowed = TLS_OPTIONS[parts.scheme]
    unknown = [key for key in keys if key not in allowed]
    return f"the option {unknown[0]} is not one of {', '.join(allowed)}" if unknown else ""


class StateSettings(Settings):
    """Where a run stores its artifacts and metadata; by default in the workdir."""

    root: Annotated[str, Field(min_length=1)] | None = None
    """Folder or URL (`gs://...`, `s3://...`) with one folder of artifacts per pipeline; null for
    `<workdir>/tfx_pipeline_output`."""
    metadata: Annotated[str, AfterValidator(_checked), PlainSerializer(without_password)] | None = Field(
        default=None, repr=False
    )
    """Database server of ML Metadata, such as `postgresql://user@host:5432/database` or `mysql://...`, with the
    password in the environment variable EDGETUNE_METADATA_PASSWORD; null for a file in the workdir."""

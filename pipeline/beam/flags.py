"""Turn the Beam settings into flags for the components that use Beam."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.core.threads import cores
from edgetune.modules.settings.execution import BeamSettings

# The real name of Beam's in-process runner. `DirectRunner` would first look for another runner on the network.
IN_PROCESS = "FnApiRunner"

# Without a flag for the source of the workers' code, TFX packages itself for every component, which takes a second, for
# workers that have TFX already. A dummy image name makes TFX skip that packaging.
_SKIP_PACKAGING = "--sdk_container_image=none"

# A cluster starts Python workers for each stage of a job and ends them with it; each would import TensorFlow again.
_KEEP_WORKERS_MILLISECONDS = 60_000

# ImageExampleGen spends 2.8 ms on each image in code where a process can use only one core. Several processes take 12
# seconds longer to start, the time for 4,400 images. `python -m benchmarks.ingest.beam_workers` measures this, and that
# other components gain nothing: Transform's work is done by TensorFlow, which uses all cores in a single process too.
_BREAK_EVEN_IMAGES = 4_400
_PROCESS_BYTES = 2 << 30
# Memory that Beam's own runner, which has no disk, takes per image while ImageExampleGen shuffles facts and hashes.
# `python -m benchmarks.ingest.shuffle_memory` measures it.
_SHUFFLE_BYTES_PER_IMAGE = 10_000
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
_PROCESS_OPTIONS = {"direct_num_workers", "direct_running_mode"}


def beam_flags(beam: BeamSettings) -> list[str]:
    """Return the settings as flags of Beam's command line.

    Raises:
        ConfigError: `options` has a flag that another setting controls.
    """
    flags = {"direct": _direct, "flink": _flink, "spark": _spark, "dataflow": _dataflow}[beam.runner](beam)
    ours = {_name(flag) for flag in flags}
    for name in beam.options:
        if name in ours and name != _name(_SKIP_PACKAGING):
            raise ConfigError(
                f"beam.options.{name}: with beam.runner {beam.runner}, another setting of `beam` sets this flag",
                "remove it from beam.options; docs/beam.md lists the setting for each flag",
            )
    return [flag for flag in flags if _name(flag) not in beam.options] + list(_others(beam.options))


def ingest_processes(beam: BeamSettings, images: int | None) -> int:
    """Return the number of local processes for ImageExampleGen, if no setting determines it.

    Args:
        beam: The settings.
        images: The number of images; None if it is unknown.

    Returns:
        The number of cores, limited by memory, if that is faster than one process; otherwise 1. Also 1 if `beam`
        determines it: another engine, a number of workers, or Beam's own flags for it.
    """
    if beam.runner != "direct" or beam.workers is not None or images is None or _PROCESS_OPTIONS & set(beam.options):
        return 1
    processes = min(cores(), _memory() // _PROCESS_BYTES)
    # Only the single-core part of the work gets faster; the rest uses all cores in one process too.
    faster = processes > 1 and images * (1 - 1 / processes) > _BREAK_EVEN_IMAGES
    return processes if faster else 1


def ingest_flags(beam: BeamSettings, images: int | None) -> list[str]:
    """Return the additional flags for ImageExampleGen: see `ingest_processes`."""
    return _process_flags(ingest_processes(beam, images))


def memory_warning(beam: BeamSettings, images: int | None) -> str | None:
    """Return a warning if facts and hashes of all images may not fit into the memory of this machine.

    Args:
        beam: The settings.
        images: The number of images; None if it is unknown.

    Returns:
        A sentence if they would take more than half of the memory, since TensorFlow needs the rest. None if they fit,
        or if the engine keeps them on disk.
    """
    needed, available = _SHUFFLE_BYTES_PER_IMAGE * (images or 0), _memory()
    if beam.runner != "direct" or needed <= available / 2:
        return None
    return (
        f"hashes and facts of {images:,} images take about {needed / 1e9:.1f} GB of memory in Beam's own runner, but "
        f"there are only {available / 1e9:.1f} GB; another beam.runner keeps them on disk (docs/beam.md)"
    )


def _memory() -> int:
    """Return the bytes of memory that this process may use: the machine's, or its container's limit."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # there is no such file, or it holds `max`
        found = min(found, int(_CONTAINER_LIMIT.read_text()))
    return found


def _direct(beam: BeamSettings) -> list[str]:
    return [f"--runner={IN_PROCESS}", _SKIP_PACKAGING, *_process_flags(beam.workers or 1)]


def _process_flags(number: int) -> list[str]:
    if number == 1:
        return []
    return ["--direct_running_mode=multi_processing", f"--direct_num_workers={number}"]


def _flink(beam: BeamSettings) -> list[str]:
    if beam.job_server is not None:
        flags = ["--runner=PortableRunner", f"--job_endpoint={beam.job_server}"]
    else:
        # The job goes to Flink's REST endpoint as one jar, so no Java is needed here.
        flags = ["--runner=FlinkRunner", f"--flink_master={str(beam.master).rstrip('/')}", "--flink_submit_uber_jar"]
        flags += _if_set(flink_version=beam.flink_version, flink_job_server_jar=beam.job_server_jar)
    return [*flags, *_if_set(parallelism=beam.workers), *_environment(beam)]


def _spark(beam: BeamSettings) -> list[str]:
    if beam.job_server is not None:
        flags = ["--runner=PortableRunner", f"--job_endpoint={beam.job_server}"]
    else:
        flags = ["--runner=SparkRunner", f"--spark_master_url={beam.master}"]
        flags += _if_set(spark_job_server_jar=beam.job_server_jar)
    return [*flags, *_environment(beam)]


def _dataflow(beam: BeamSettings) -> list[str]:
    return [
        "--runner=DataflowRunner",
        f"--project={beam.project}",
        f"--region={beam.region}",
        f"--temp_location={beam.temp_location}",
        f"--sdk_container_image={beam.environment_config}",
        # The image has everything that the workers need.
        "--sdk_location=container",
        *_if_set(max_num_workers=beam.workers, machine_type=beam.machine),
    ]


def _environment(beam: BeamSettings) -> list[str]:
    flags = [f"--environment_type={beam.environment_type.upper()}"]
    if beam.environment_type != "loopback":
        flags.append(f"--environment_config={beam.environment_config}")
    flags += [f"--sdk_worker_parallelism={beam.workers_per_machine}", _SKIP_PACKAGING]
    return [*flags, f"--environment_cache_millis={_KEEP_WORKERS_MILLISECONDS}"]


def _if_set(**flags: Any) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items() if value is not None]


def _others(options: dict[str, Any]) -> Iterable[str]:
    for name, value in options.items():
        for item in value if isinstance(value, list) else [value]:
            yield f"--{name}" if item is True else f"--{name}={item}"


def _name(flag: str) -> str:
    return flag.removeprefix("--").partition("=")[0]

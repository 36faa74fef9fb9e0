"""From the settings of Beam to the flags that all Beam components get."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.core.threads import cores
from edgetune.modules.settings.execution import BeamSettings

# Beam's in-process runner by its own name. `DirectRunner` would first look for another one on the network.
IN_PROCESS = "FnApiRunner"

# Where no flag says where the workers' code comes from, TFX packs itself anew for every component, in a second, and
# hands the package to workers that have TFX already. An image that nobody starts is what it takes as an answer.
_CODE_IS_THERE = "--sdk_container_image=none"

# A cluster starts Python workers for each stage of a job, and ends them with it; each would import TensorFlow again.
_KEEP_WORKERS_MILLISECONDS = 60_000

# Of an image, ImageExampleGen spends 2.8 ms where one process can use one core only, and processes of their own take 12
# seconds more to start: so much do 4,400 images take there. `python -m benchmarks.ingest.beam_workers` measures it, and
# that the other components gain nothing: Transform's work is TensorFlow's, which takes all cores in one process too.
_START_IN_IMAGES = 4_400
_OF_A_PROCESS = 2 << 30
# What Beam's own runner keeps of an image in memory, having no disk, while ImageExampleGen shuffles facts and hashes.
# `python -m benchmarks.ingest.shuffle_memory` measures it.
_SHUFFLED_OF_AN_IMAGE = 10_000
_LIMIT_OF_THE_CONTAINER = Path("/sys/fs/cgroup/memory.max")
_PROCESSES = {"direct_num_workers", "direct_running_mode"}


def beam_flags(beam: BeamSettings) -> list[str]:
    """The flags, as on a command line of Beam's own.

    Raises:
        ConfigError: `options` has a flag that another setting stands for.
    """
    flags = {"direct": _direct, "flink": _flink, "spark": _spark, "dataflow": _dataflow}[beam.runner](beam)
    ours = {_name(flag) for flag in flags}
    for name in beam.options:
        if name in ours and name != _name(_CODE_IS_THERE):
            raise ConfigError(
                f"beam.options.{name}: with beam.runner {beam.runner}, another setting of `beam` gives this flag",
                "leave it out of beam.options; docs/beam.md says which setting gives which flag",
            )
    return [flag for flag in flags if _name(flag) not in beam.options] + list(_others(beam.options))


def ingest_processes(beam: BeamSettings, images: int | None) -> int:
    """How many processes of this machine ImageExampleGen gets, where no setting says it.

    Args:
        beam: The settings.
        images: How many images there are; None where nobody knows.

    Returns:
        As many as there are cores, and memory for, where that is faster than one; otherwise 1. Also 1 where `beam`
        decides: another engine, a number of workers, Beam's own flags for it.
    """
    if beam.runner != "direct" or beam.workers is not None or images is None or _PROCESSES & set(beam.options):
        return 1
    processes = min(cores(), _memory() // _OF_A_PROCESS)
    # What one core does alone is divided among the processes; the rest was divided among the cores before.
    faster = processes > 1 and images * (1 - 1 / processes) > _START_IN_IMAGES
    return processes if faster else 1


def ingest_flags(beam: BeamSettings, images: int | None) -> list[str]:
    """What ImageExampleGen gets beside `beam_flags`: see `ingest_processes`."""
    return _processes(ingest_processes(beam, images))


def memory_warning(beam: BeamSettings, images: int | None) -> str | None:
    """What is to be said where facts and hashes of all images may not fit into the memory of this machine.

    Args:
        beam: The settings.
        images: How many images there are; None where nobody knows.

    Returns:
        A sentence where they would take more than half of it: the rest is TensorFlow's. None where they fit, and where
        an engine keeps them on its disks.
    """
    needed, there = _SHUFFLED_OF_AN_IMAGE * (images or 0), _memory()
    if beam.runner != "direct" or needed <= there / 2:
        return None
    return (
        f"hashes and facts of {images:,} images take some {needed / 1e9:.1f} GB in Beam's own runner, and there are "
        f"{there / 1e9:.1f}; another beam.runner keeps them on disk (docs/beam.md)"
    )


def _memory() -> int:
    """Bytes that this process may use: all of the machine, or what its container has."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # there is no such file, or it says `max`
        found = min(found, int(_LIMIT_OF_THE_CONTAINER.read_text()))
    return found


def _direct(beam: BeamSettings) -> list[str]:
    return [f"--runner={IN_PROCESS}", _CODE_IS_THERE, *_processes(beam.workers or 1)]


def _processes(number: int) -> list[str]:
    if number == 1:
        return []
    return ["--direct_running_mode=multi_processing", f"--direct_num_workers={number}"]


def _flink(beam: BeamSettings) -> list[str]:
    if beam.job_server is not None:
        flags = ["--runner=PortableRunner", f"--job_endpoint={beam.job_server}"]
    else:
        # The job goes to Flink as one jar, by its REST endpoint: no Java is needed here.
        flags = ["--runner=FlinkRunner", f"--flink_master={str(beam.master).rstrip('/')}", "--flink_submit_uber_jar"]
        flags += _given(flink_version=beam.flink_version, flink_job_server_jar=beam.job_server_jar)
    return [*flags, *_given(parallelism=beam.workers), *_environment(beam)]


def _spark(beam: BeamSettings) -> list[str]:
    if beam.job_server is not None:
        flags = ["--runner=PortableRunner", f"--job_endpoint={beam.job_server}"]
    else:
        flags = ["--runner=SparkRunner", f"--spark_master_url={beam.master}"]
        flags += _given(spark_job_server_jar=beam.job_server_jar)
    return [*flags, *_environment(beam)]


def _dataflow(beam: BeamSettings) -> list[str]:
    return [
        "--runner=DataflowRunner",
        f"--project={beam.project}",
        f"--region={beam.region}",
        f"--temp_location={beam.temp_location}",
        f"--sdk_container_image={beam.environment_config}",
        # The image has all that the workers need.
        "--sdk_location=container",
        *_given(max_num_workers=beam.workers, machine_type=beam.machine),
    ]


def _environment(beam: BeamSettings) -> list[str]:
    flags = [f"--environment_type={beam.environment_type.upper()}"]
    if beam.environment_type != "loopback":
        flags.append(f"--environment_config={beam.environment_config}")
    flags += [f"--sdk_worker_parallelism={beam.workers_per_machine}", _CODE_IS_THERE]
    return [*flags, f"--environment_cache_millis={_KEEP_WORKERS_MILLISECONDS}"]


def _given(**flags: Any) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items() if value is not None]


def _others(options: dict[str, Any]) -> Iterable[str]:
    for name, value in options.items():
        for item in value if isinstance(value, list) else [value]:
            yield f"--{name}" if item is True else f"--{name}={item}"


def _name(flag: str) -> str:
    return flag.removeprefix("--").partition("=")[0]

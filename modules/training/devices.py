"""On which device TensorFlow trains here, and why on no other.

The wheels of CUDA that TensorFlow names (requirements/*-gpu.txt) lie in `nvidia/*/lib` of the environment. TensorFlow
looks for them along the paths that are built into its own libraries, and these are not complete: TensorFlow 2.21 does
not find cuSOLVER and then uses no GPU at all, 2.16 does not find NCCL and CUPTI. The links that TensorFlow's guide
advises do not help 2.21. So what TensorFlow opens by name is opened from there before TensorFlow does.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging

from edgetune.modules.settings.run import TrainingSettings

# What TensorFlow opens by name. The rest of nvidia/*/lib these find by themselves.
_OPENED = ("cudart", "cublasLt", "cublas", "cudnn", "cufft", "cusparse", "cusolver", "cupti", "nccl")
_HIDDEN = ("", "-1", "NoDevFiles")
_BFLOAT16 = (8, 0)
"""Compute capability of the first GPUs that have instructions for bfloat16 (Ampere)."""
_SECONDS = 20


@dataclass(frozen=True)
class Choice:
    """Where a training computes."""

    device: str
    """Such as `GPU 0 (NVIDIA L4)` or `the CPU`."""
    why: str = ""
    """Why not on more or on others, as the end of a sentence; empty where there is nothing to say."""
    warning: str = ""
    """What is better set otherwise for this device; empty where nothing is."""

    def __str__(self) -> str:
        return f"training on {self.device}" + (f": {self.why}" if self.why else "")


def prepare() -> None:
    """Opens the environment's CUDA libraries, and lets TensorFlow take a GPU's memory only as it needs it.

    Call it before TensorFlow computes anything in this process. `CUDA_VISIBLE_DEVICES` is respected. Without a GPU
    nothing happens.
    """
    if _hidden() is None and gpu_is_there():
        _open_libraries()
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError as error:
            logging.warning("the memory of %s is not taken as needed: %s", gpu.name, error)


def choose(training: TrainingSettings) -> Choice:
    """What `training.distribution` makes of the devices that TensorFlow sees. Initialises none of them."""
    if training.distribution == "tpu":
        return Choice(f"the TPU {os.environ.get('TPU_NAME', 'local')}")
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    if not gpus:
        return Choice("the CPU", _why_no_gpu())
    why = ""
    if training.distribution == "none" and len(gpus) > 1:
        why = f"the first of {len(gpus)}; training.distribution=mirrored takes all"
        gpus = gpus[:1]
    device = ", ".join(f"GPU {number} ({_name(gpu)})" for number, gpu in enumerate(gpus))
    return Choice(device, why, _warning(gpus) if training.mixed_precision else "")


def computing() -> str:
    """The device that TensorFlow computes on in this process if it is told nothing else: kind and name."""
    gpus = tf.config.list_physical_devices("GPU")
    return f"GPU {_name(tf.config.experimental.get_device_details(gpus[0]))}" if gpus else "CPU"


def gpu_is_there() -> bool:
    """Whether this machine has an NVIDIA GPU with a driver, whatever TensorFlow makes of it."""
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return True
    command = shutil.which("nvidia-smi")  # under WSL there are no such files
    if command is None:
        return False
    try:
        done = subprocess.run(
            [command, "-L"], capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "GPU " in done.stdout


def _hidden() -> str | None:
    """The value of CUDA_VISIBLE_DEVICES where it hides all GPUs."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    return value if value in _HIDDEN else None


def _folders() -> list[Path]:
    """Where the wheels of CUDA have their libraries."""
    found = importlib.util.find_spec("nvidia")
    places = found.submodule_search_locations if found else None
    return [folder for place in places or () for folder in sorted(Path(place).glob("*/lib"))]


def _open_libraries() -> None:
    folders = _folders()
    for name in _OPENED:
        for path in sorted(path for folder in folders for path in folder.glob(f"lib{name}.so.*")):
            try:
                ctypes.CDLL(str(path))
            except OSError as error:
                logging.warning("%s cannot be opened, so TensorFlow may use no GPU: %s", path, error)


def _why_no_gpu() -> str:
    build = tf.sysconfig.get_build_info()
    if not build.get("is_cuda_build"):
        return "this TensorFlow is built without CUDA"
    if not gpu_is_there():
        return "there is no NVIDIA GPU with a driver (no /dev/nvidia0, and nvidia-smi names none)"
    if (value := _hidden()) is not None:
        return f"there is a GPU, and CUDA_VISIBLE_DEVICES={value} hides it"
    if not _folders():
        return "there is a GPU, but this environment has no CUDA libraries; `make setup GPU=1` installs them"
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    named = "" if value is None else f", and CUDA_VISIBLE_DEVICES={value} must name it"
    return (
        "there is a GPU, and TensorFlow cannot use it; the log says why. Its driver must support "
        f"CUDA {build.get('cuda_version')}{named}"
    )


def _name(gpu: dict[str, Any]) -> str:
    return str(gpu.get("device_name", "of unknown kind"))


def _warning(gpus: list[dict[str, Any]]) -> str:
    lowest = min((gpu.get("compute_capability", _BFLOAT16) for gpu in gpus), default=_BFLOAT16)
    if lowest >= _BFLOAT16:
        return ""
    # Nothing breaks: TensorFlow computes its convolutions in float32 then, with a conversion before and after each.
    return (
        f"training.mixed_precision computes in bfloat16, for which a GPU of compute capability {lowest[0]}.{lowest[1]} "
        "has no instructions (8.0 and later have them); it is faster with false"
    )

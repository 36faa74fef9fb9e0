"""Detect the devices that TensorFlow can train on, and explain why a GPU is not used.

The CUDA wheels that TensorFlow requires (requirements/*-gpu.txt) install into `nvidia/*/lib` of the environment.
TensorFlow searches them by paths built into its own libraries, and these are incomplete: TensorFlow 2.21 does not find
cuSOLVER and then uses no GPU at all, 2.16 does not find NCCL and CUPTI. The symbolic links that TensorFlow's guide
recommends do not help 2.21. So the libraries that TensorFlow opens by name are opened from there beforehand.
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

# Libraries that TensorFlow opens by name; they find the rest of nvidia/*/lib by themselves.
_LIBRARIES = ("cudart", "cublasLt", "cublas", "cudnn", "cufft", "cusparse", "cusolver", "cupti", "nccl")
_HIDE_ALL = ("", "-1", "NoDevFiles")
"""Values of CUDA_VISIBLE_DEVICES that hide all GPUs."""
_BFLOAT16 = (8, 0)
"""Lowest compute capability with instructions for bfloat16 (Ampere)."""
_SECONDS = 20


@dataclass(frozen=True)
class Choice:
    """The device that a training runs on."""

    device: str
    """Such as `GPU 0 (NVIDIA L4)` or `the CPU`."""
    why: str = ""
    """Why no other or no further device is used, as the end of a sentence; may be empty."""
    warning: str = ""
    """A setting that should be changed for this device; may be empty."""

    def __str__(self) -> str:
        return f"training on {self.device}" + (f": {self.why}" if self.why else "")


def prepare() -> None:
    """Open the environment's CUDA libraries, and let TensorFlow allocate GPU memory on demand.

    Call this before TensorFlow computes anything in this process. `CUDA_VISIBLE_DEVICES` is respected. Without a GPU,
    nothing is done.
    """
    if _hidden() is None and has_gpu():
        _open_libraries()
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError as error:
            logging.warning("%s: cannot allocate memory on demand: %s", gpu.name, error)


def choose(training: TrainingSettings) -> Choice:
    """Choose from the devices that TensorFlow sees as `training.distribution` says, without initialising any."""
    if training.distribution == "tpu":
        return Choice(f"the TPU {os.environ.get('TPU_NAME', 'local')}")
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    if not gpus:
        return Choice("the CPU", _why_no_gpu())
    why = ""
    if training.distribution == "none" and len(gpus) > 1:
        why = f"the first of {len(gpus)}; training.distribution=mirrored uses all"
        gpus = gpus[:1]
    device = ", ".join(f"GPU {number} ({_name(gpu)})" for number, gpu in enumerate(gpus))
    return Choice(device, why, _warning(gpus) if training.mixed_precision else "")


def default_device() -> str:
    """Return kind and name of the device that TensorFlow computes on by default in this process."""
    gpus = tf.config.list_physical_devices("GPU")
    return f"GPU {_name(tf.config.experimental.get_device_details(gpus[0]))}" if gpus else "CPU"


def has_gpu() -> bool:
    """Return whether this machine has an NVIDIA GPU with a driver, even if TensorFlow cannot use it."""
    if any(Path("/dev").glob("nvidia[0-9]*")):
        return True
    command = shutil.which("nvidia-smi")  # WSL has no such device files
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
    """Return the value of CUDA_VISIBLE_DEVICES if it hides all GPUs."""
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    return value if value in _HIDE_ALL else None


def _library_folders() -> list[Path]:
    """Return the library folders of the installed CUDA wheels."""
    found = importlib.util.find_spec("nvidia")
    packages = found.submodule_search_locations if found else None
    return [folder for package in packages or () for folder in sorted(Path(package).glob("*/lib"))]


def _open_libraries() -> None:
    folders = _library_folders()
    for name in _LIBRARIES:
        for path in sorted(path for folder in folders for path in folder.glob(f"lib{name}.so.*")):
            try:
                ctypes.CDLL(str(path))
            except OSError as error:
                logging.warning("%s cannot be opened, so TensorFlow may use no GPU: %s", path, error)


def _why_no_gpu() -> str:
    build = tf.sysconfig.get_build_info()
    if not build.get("is_cuda_build"):
        return "this TensorFlow is built without CUDA"
    if not has_gpu():
        return "there is no NVIDIA GPU with a driver (no /dev/nvidia0, and nvidia-smi lists none)"
    if (value := _hidden()) is not None:
        return f"there is a GPU, but CUDA_VISIBLE_DEVICES={value} hides it"
    if not _library_folders():
        return "there is a GPU, but this environment has no CUDA libraries; `make setup GPU=1` installs them"
    value = os.environ.get("CUDA_VISIBLE_DEVICES")
    named = "" if value is None else f", and CUDA_VISIBLE_DEVICES={value} must include it"
    return (
        "there is a GPU, but TensorFlow cannot use it; see the log. Its driver must support "
        f"CUDA {build.get('cuda_version')}{named}"
    )


def _name(gpu: dict[str, Any]) -> str:
    return str(gpu.get("device_name", "of unknown kind"))


def _warning(gpus: list[dict[str, Any]]) -> str:
    lowest = min((gpu.get("compute_capability", _BFLOAT16) for gpu in gpus), default=_BFLOAT16)
    if lowest >= _BFLOAT16:
        return ""
    # Only slower: TensorFlow then computes convolutions in float32, with a conversion before and after each.
    return (
        f"training.mixed_precision computes in bfloat16, for which a GPU of compute capability {lowest[0]}.{lowest[1]} "
        "has no instructions (8.0 and later have them); set it to false, which is faster"
    )

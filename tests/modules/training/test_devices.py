"""The device that a training runs on, and how it is described.

Some tests replace TensorFlow's list of devices; others run TensorFlow itself on a machine with a fake driver, fake CUDA
wheels and fake GPUs (`tests/fakes/gpu.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import pytest
import tensorflow as tf

from edgetune.modules.core import child_process
from edgetune.modules.settings.run import TrainingSettings
from edgetune.modules.training import devices, phase
from edgetune.modules.training.devices import Choice
from edgetune.modules.training.epochs import Epochs
from edgetune.pipeline.preflight.training import check_devices
from tests.fakes.gpu import Machine

L4 = {"device_name": "NVIDIA L4", "compute_capability": (8, 9)}
T4 = {"device_name": "Tesla T4", "compute_capability": (7, 5)}


class Given:
    """Replaces what TensorFlow reports about this machine."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.grown: list[tuple[str, bool]] = []
        self.gpus()
        self.has_gpu(False)
        self.build(is_cuda_build=True, cuda_version="12.5.1")
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        patch.setattr(devices, "_library_folders", lambda: [])
        grow = tf.config.experimental
        patch.setattr(grow, "set_memory_growth", lambda gpu, growth: self.grown.append((gpu.name, growth)))

    def gpus(self, *details: dict[str, Any]) -> None:
        listed = [
            SimpleNamespace(name=f"gpu {number}", device_type="GPU", details=each)
            for number, each in enumerate(details)
        ]
        self._patch.setattr(tf.config, "list_physical_devices", lambda kind="GPU": listed if kind == "GPU" else [])
        self._patch.setattr(tf.config.experimental, "get_device_details", lambda gpu: gpu.details)

    def has_gpu(self, found: bool) -> None:
        self._patch.setattr(devices, "has_gpu", lambda: found)

    def build(self, **facts: Any) -> None:
        self._patch.setattr(tf.sysconfig, "get_build_info", lambda: facts)


@pytest.fixture
def given(monkeypatch) -> Given:
    return Given(monkeypatch)


def choose(**training: Any) -> Choice:
    return devices.choose(TrainingSettings(**training))


def test_a_single_gpu_is_used_and_named(given):
    given.gpus(L4)
    assert choose() == Choice("GPU 0 (NVIDIA L4)")
    assert str(choose()) == "training on GPU 0 (NVIDIA L4)"


def test_the_first_of_several_gpus_is_used_unless_distribution_uses_all(given):
    given.gpus(L4, T4)
    text = "training on GPU 0 (NVIDIA L4): the first of 2; training.distribution=mirrored uses all"
    assert str(choose()) == text
    for kind in ("mirrored", "multi_worker"):
        assert str(choose(distribution=kind)) == "training on GPU 0 (NVIDIA L4), GPU 1 (Tesla T4)"


def test_a_tpu_is_named_and_gpus_are_ignored(given, monkeypatch):
    given.gpus(L4)
    monkeypatch.setenv("TPU_NAME", "four")
    assert str(choose(distribution="tpu")) == "training on the TPU four"


def test_a_gpu_without_a_name_is_of_unknown_kind(given):
    given.gpus({})
    assert choose(mixed_precision=True) == Choice("GPU 0 (of unknown kind)")


@pytest.mark.parametrize(
    ("has_gpu", "wheels", "environment", "build", "words"),
    [
        (False, False, None, {}, "there is no NVIDIA GPU with a driver"),
        (False, True, "-1", {}, "there is no NVIDIA GPU with a driver"),
        (True, False, None, {}, "this environment has no CUDA libraries; `make setup GPU=1` installs them"),
        (True, True, None, {}, "there is a GPU, but TensorFlow cannot use it; see the log"),
        (True, True, "-1", {}, "there is a GPU, but CUDA_VISIBLE_DEVICES=-1 hides it"),
        (True, False, "", {}, "there is a GPU, but CUDA_VISIBLE_DEVICES= hides it"),
        (True, True, "1", {}, "there is a GPU, but TensorFlow cannot use it"),
        (True, True, None, {"is_cuda_build": False}, "this TensorFlow is built without CUDA"),
    ],
)
def test_the_reason_for_training_on_the_cpu_is_given(given, monkeypatch, has_gpu, wheels, environment, build, words):
    given.has_gpu(has_gpu)
    given.build(**{"is_cuda_build": True, "cuda_version": "12.5.1", **build})
    if wheels:
        monkeypatch.setattr(devices, "_library_folders", lambda: [Path("lib")])
    if environment is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", environment)
    choice = choose()
    assert choice.device == "the CPU" and choice.warning == ""
    assert words in choice.why


def test_mixed_precision_on_a_gpu_without_bfloat16_gives_a_warning(given):
    given.gpus(T4)
    assert "compute capability 7.5 has no instructions" in choose(mixed_precision=True).warning
    assert choose().warning == ""
    given.gpus(L4, T4)
    assert choose(mixed_precision=True).warning == ""  # the first is used
    assert "7.5" in choose(mixed_precision=True, distribution="mirrored").warning


def test_memory_growth_is_enabled_on_every_gpu_before_anything_starts(given, monkeypatch):
    given.gpus(L4, T4)
    seen: list[int] = []
    monkeypatch.setattr(
        "edgetune.pipeline.preflight.training.check_in_process", lambda kind: seen.append(len(given.grown))
    )
    assert check_devices(TrainingSettings()).device == "GPU 0 (NVIDIA L4)"
    assert given.grown == [("gpu 0", True), ("gpu 1", True)] and seen == [2]


def test_a_process_that_used_its_gpu_before_continues_with_a_warning(given, monkeypatch, caplog):
    given.gpus(L4)

    def refuse(gpu: Any, growth: bool) -> None:
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", refuse)
    devices.prepare()
    assert "cannot allocate memory on demand" in caplog.text


def test_the_default_device_is_named_by_its_kind(given):
    assert devices.default_device() == "CPU"
    given.gpus(L4, T4)
    assert devices.default_device() == "GPU NVIDIA L4"


def test_children_see_no_gpu_and_find_the_code(monkeypatch, root):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    env = child_process.environment()
    assert env["CUDA_VISIBLE_DEVICES"] == "-1" and env["PYTHONPATH"] == f"{root}:elsewhere"
    assert env["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


def test_a_step_is_not_compiled_by_xla_on_a_gpu(given, tmp_path):
    given.gpus(L4)
    model, other = (
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")]) for _ in range(2)
    )
    assert other.jit_compile is True  # Keras's own choice
    data = tf.data.Dataset.from_tensors((tf.zeros([4, 2]), tf.zeros([4], tf.int64)))
    loss = keras.losses.SparseCategoricalCrossentropy()
    epochs = Epochs(lambda epoch: data, lambda: 1)
    phase.run_phase("head", model, epochs, data, loss, TrainingSettings(head={"epochs": 1}).head, str(tmp_path))
    assert model.jit_compile is False


# --- with TensorFlow's own detection

LOOK = """
import json, sys
from absl import logging
import tensorflow as tf
from edgetune.modules.training import devices
from edgetune.modules.settings.run import TrainingSettings
if sys.argv[1] == "prepared":
    devices.prepare()
gpus = tf.config.list_physical_devices("GPU")
choice = devices.choose(TrainingSettings(mixed_precision=True))
print(json.dumps({
    "gpus": len(gpus),
    "choice": str(choice),
    "warning": choice.warning,
    "growth": [tf.config.experimental.get_memory_growth(gpu) for gpu in gpus],
    "default_device": devices.default_device(),
}))
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine(tmp_path_factory.mktemp("machine"))


def look(machine: Machine, how: str = "prepared", **environment: Any) -> dict[str, Any]:
    env = machine.environment(**environment)
    done = subprocess.run([sys.executable, "-c", LOOK, how], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_tensorflow_finds_the_cuda_wheels_and_the_gpu(machine):
    found = look(machine, FAKE_GPUS="2", FAKE_MAJOR="7")
    assert found["gpus"] == 2 and found["growth"] == [True, True] and found["default_device"] == "GPU Fake GPU"
    assert found["choice"].startswith("training on GPU 0 (Fake GPU): the first of 2")
    assert "compute capability 7.0" in found["warning"]


@pytest.mark.large
def test_without_prepare_tensorflow_finds_no_gpu(machine):
    # This proves the test above: these wheels are not beside TensorFlow, where it would find most of them.
    assert look(machine, "unprepared")["gpus"] == 0


@pytest.mark.large
def test_missing_cuda_wheels_are_reported_with_the_command(machine):
    found = look(machine, wheels=False)
    assert found["gpus"] == 0 and "`make setup GPU=1`" in found["choice"]

"""Training on several devices or workers gives the same result as on one device, except for rounding."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.training import distribution
from tests.helpers import fork_server
from tests.programs import distributed_training
from tests.tiny import model

CLUSTER = {"cluster": {"worker": ["one:2222", "two:2222"]}, "task": {"type": "worker", "index": 0}}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("examples")
    for split, each in (("train", distributed_training.TRAIN), ("eval", distributed_training.EVAL), ("test", 1)):
        model.write_transformed(folder, split, model.examples(each))
    return str(folder)


def begin(root: Path, what: str, examples: str, folder: Path, **environment: str) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    program = ["tests.programs.distributed_training", what, examples, str(folder)]
    # gRPC between the workers does not survive a fork.
    command = [sys.executable, "-m", *program] if what == "worker" else fork_server.shared().command(*program)
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, cwd=root, env={**os.environ, **environment}, stdout=log, stderr=log)


def end(process: subprocess.Popen[bytes], folder: Path, what: str) -> dict[str, Any]:
    try:
        code = process.wait(timeout=240)
    finally:
        process.kill()
    assert code == 0, (folder / "log").read_text()[-3000:]
    return json.loads((folder / f"{what}.json").read_text())


# --- several devices


@pytest.fixture(scope="module")
def devices(root: Path, examples: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("devices")
    return end(begin(root, "devices", examples, folder), folder, "devices")


@pytest.fixture(scope="module")
def second(root: Path, examples: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("second")
    return end(begin(root, "second", examples, folder), folder, "second")


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for phase, other in zip(found["phases"], expected["phases"], strict=True):
        assert len(phase["epochs"]) == len(other["epochs"])
        for epoch, wanted in zip(phase["epochs"], other["epochs"], strict=True):
            assert epoch == pytest.approx(wanted, rel=1e-4), phase["name"]
        assert phase["trainable_parameters"] == other["trainable_parameters"]
    assert found["exported"] == expected["exported"]
    np.testing.assert_allclose(found["weights"], expected["weights"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["whole", "cached"])
def test_two_devices_learn_what_one_learns(devices, kind):
    assert devices["replicas"] == 2
    one = devices[f"one {kind}"]
    losses = [epoch["loss"] for phase in one["phases"] for epoch in phase["epochs"]]
    assert losses[-1] < 0.8 * losses[0]  # something was learned, so equality means something
    assert_same(devices[f"two {kind}"], one)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_on_a_device_other_than_the_datas_gives_the_same_result(second, precision):
    one, other = second[f"{precision} 0"], second[f"{precision} 1"]
    assert [place.rpartition("/")[2] for place in one["places"] + other["places"]] == ["device:CPU:0", "device:CPU:1"]
    assert_same(other, one)


def test_tensorboard_logs_are_the_same_as_for_one_device(devices):
    found, expected = (
        {path.rsplit("/", 1)[0] for path in devices[f"{name} cached"]["logs"]} for name in ("two", "one")
    )
    assert (
        found
        == expected
        == {f"logs/{phase}/{part}" for phase in ("head", "fine_tune") for part in ("train", "validation")}
    )


def test_an_interrupted_training_on_two_devices_resumes_with_the_same_result(devices):
    resumed, whole = devices["killed"]["resumed"], devices["killed"]["whole"]
    assert len(whole["phases"][0]["epochs"]) == 3
    assert resumed["phases"][0]["epochs"] == whole["phases"][0]["epochs"]
    assert resumed["weights"] == whole["weights"]


def test_a_missing_tpu_is_reported(devices):
    kind, cause, remedy = devices["tpu"]
    assert kind == "TrainingError"
    assert cause.startswith("training.distribution is tpu, but TPU local cannot be used: ")
    assert "TPU_NAME" in remedy


def test_workers_in_a_process_that_used_tensorflow_before_are_reported(devices):
    kind, cause, remedy = devices["multi_worker"]
    assert kind == "TrainingError"
    assert "cannot join the workers of TF_CONFIG" in cause
    assert remedy == "run the trainer in a separate process on every worker"


# --- several workers


@pytest.fixture(scope="module")
def workers(root: Path, examples: str, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("workers")
    with socket.socket() as one, socket.socket() as two:
        for probe in (one, two):
            probe.bind(("127.0.0.1", 0))
        addresses = [f"127.0.0.1:{probe.getsockname()[1]}" for probe in (one, two)]
    begun = []
    for index in range(2):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        begun.append(begin(root, "worker", examples, folder / str(index), TF_CONFIG=json.dumps(config)))
    try:
        return [end(process, folder / str(index), "worker") for index, process in enumerate(begun)]
    finally:
        for process in begun:
            process.kill()


@pytest.mark.large  # two processes, which import TensorFlow
def test_two_workers_end_with_the_same_weights_and_one_of_them_is_chief(workers):
    assert [worker["replicas"] for worker in workers] == [2, 2]
    assert [worker["chief"] for worker in workers] == [True, False]
    assert workers[0]["weights"] == workers[1]["weights"]
    for phase, other in zip(workers[0]["phases"], workers[1]["phases"], strict=True):
        assert phase["epochs"] == other["epochs"]


@pytest.mark.large
def test_two_workers_learn_what_one_device_learns(workers, devices):
    assert_same(workers[0], devices["one cached"])


# --- errors


def test_several_workers_in_a_local_run_are_rejected():
    with pytest.raises(ConfigError, match="training.distribution is multi_worker") as caught:
        distribution.check_in_process("multi_worker")
    assert "docs/distributed.md" in caught.value.remedy


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "the environment variable TF_CONFIG is not set"),
        ("{", "the environment variable TF_CONFIG is not valid: "),
        ("[]", "the environment variable TF_CONFIG is not valid: "),
        (json.dumps({"cluster": CLUSTER["cluster"]}), "it has no 'task'"),
        (json.dumps({**CLUSTER, "task": {"type": "worker", "index": 2}}), "task worker 2 is not one of the workers"),
        (json.dumps({**CLUSTER, "task": {"type": "ps", "index": 0}}), "task ps 0 is not one of the workers"),
        (json.dumps({**CLUSTER, "cluster": {"worker": ["one"]}}), "an address does not have the form host:port"),
    ],
)
def test_an_invalid_tf_config_is_reported(monkeypatch, config, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ConfigError) as caught:
        distribution.start("multi_worker")
    assert message in caught.value.cause
    assert '"cluster"' in caught.value.remedy


def test_without_distribution_there_is_no_strategy():
    assert distribution.start("none") is None
    assert distribution.is_chief(None) and not distribution.has_other_workers(None)
    distribution.wait_for_all(None)
    distribution.check_in_process("none")
    distribution.check_in_process("mirrored")

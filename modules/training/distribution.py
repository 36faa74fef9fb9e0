"""On which devices the network is trained: tf.distribute, by configuration.

    none           one device, without tf.distribute
    mirrored       all accelerators of this machine; without any, its logical CPUs
    multi_worker   the machines that TF_CONFIG names, each with all its accelerators; each runs the trainer itself
    tpu            the TPU of TPU_NAME, by default the one of this machine

A model that is built in the scope of a strategy is trained by it (`modules.training.distributed_fit`).
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import keras
import tensorflow as tf

from edgetune.modules.core.errors import ConfigError, TrainingError
from edgetune.modules.settings.training import Distribution

_EXAMPLE = (
    '{"cluster": {"worker": ["one:2222", "two:2222"]}, "task": {"type": "worker", "index": 0}}, with the index of each'
)
_JOBS = ("chief", "worker")


def check_in_process(kind: Distribution) -> None:
    """What can be known before a run on this machine, all components of which share one process.

    Raises:
        ConfigError: Workers are wanted, and there is one process.
        TrainingError: There is no TPU.
    """
    if kind == "multi_worker":
        raise ConfigError(
            "training.distribution is multi_worker, and this run trains in one process, which is one worker",
            "set it to mirrored for all devices of this machine, or start workers as docs/distributed.md describes",
        )
    if kind == "tpu":
        start(kind)


def start(kind: Distribution) -> tf.distribute.Strategy | None:
    """The strategy; None without distribution.

    With `multi_worker` it must be called before TensorFlow computes anything in this process, and it waits until all
    workers have called it.

    Raises:
        ConfigError: TF_CONFIG is absent, or says nothing that can be used.
        TrainingError: The devices are not there, or TensorFlow was used before.
    """
    if kind == "mirrored":
        # TensorFlow's own choice without accelerators would be one CPU, however many there are.
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if kind == "multi_worker":
        return _multi_worker()
    return _tpu() if kind == "tpu" else None


def scope(strategy: tf.distribute.Strategy | None) -> contextlib.AbstractContextManager[Any]:
    """Where variables are made that `strategy` trains."""
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def strategy_of(model: keras.Model) -> tf.distribute.Strategy | None:
    """The strategy in whose scope a model was built; None where it was in none."""
    strategy = model.distribute_strategy
    distributed = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy, tf.distribute.TPUStrategy)
    return strategy if isinstance(strategy, distributed) else None


def is_chief(strategy: tf.distribute.Strategy | None) -> bool:
    """Whether this process is the one whose results count: the only one, or of several workers the first."""
    resolver = _workers(strategy)
    if resolver is None:
        return True
    return bool(
        resolver.task_type == "chief" or ("chief" not in resolver.cluster_spec().jobs and resolver.task_id == 0)
    )


def is_shared_out(strategy: tf.distribute.Strategy | None) -> bool:
    """Whether other processes take part in the training."""
    return _workers(strategy) is not None


def wait_for_all(strategy: tf.distribute.Strategy | None) -> None:
    """Returns when every worker has come here: where one ends, TensorFlow takes it for lost and stops the others.

    Raises:
        TrainingError: Another worker has failed.
    """
    if strategy is None or not is_shared_out(strategy):
        return
    try:
        one = strategy.run(lambda: tf.ones([]))
        int(strategy.reduce(tf.distribute.ReduceOp.SUM, one, axis=None))
    except tf.errors.OpError as error:
        raise TrainingError(f"another worker has failed: {_first_line(error)}", "see that worker's log") from error


def _workers(strategy: tf.distribute.Strategy | None) -> Any:
    """The resolver of a cluster of several workers; None where there is one process."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return None
    resolver = strategy.cluster_resolver
    return resolver if sum(map(len, resolver.cluster_spec().as_dict().values())) > 1 else None


def _multi_worker() -> tf.distribute.Strategy:
    _check_tf_config(os.environ.get("TF_CONFIG", ""))
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise TrainingError(
            f"the workers cannot be joined: {_first_line(error)}",
            "run the trainer in a process of its own on every worker",
        ) from error
    except tf.errors.OpError as error:
        raise TrainingError(
            f"the workers of TF_CONFIG do not find each other: {_first_line(error)}",
            "check that every worker runs, with the same cluster in TF_CONFIG, and that its port can be reached",
        ) from error


def _check_tf_config(text: str) -> None:
    if not text:
        raise ConfigError(
            "training.distribution is multi_worker, and the environment variable TF_CONFIG is not set",
            f"the platform sets it where the training is given several workers; by hand: {_EXAMPLE}",
        )
    try:
        config = json.loads(text)
        cluster, task, index = config["cluster"], config["task"]["type"], config["task"]["index"]
        if task not in _JOBS or not 0 <= int(index) < len(cluster[task]):
            raise ValueError(f"the task {task} {index} is none of the workers")
        if not all(isinstance(address, str) and ":" in address for job in cluster.values() for address in job):
            raise ValueError("an address is not of the form host:port")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(
            f"the environment variable TF_CONFIG cannot be used: {what}", f"write it as {_EXAMPLE}"
        ) from None


def _tpu() -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise TrainingError(
            f"training.distribution is tpu, and the TPU {name} cannot be used: {_first_line(error)}",
            "run on a machine with a TPU, name it in TPU_NAME, or set training.distribution to mirrored or none",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__

"""Create the tf.distribute strategy that `training.distribution` selects.

    none           one device, without tf.distribute
    mirrored       all accelerators of this machine, or its logical CPUs if it has none
    multi_worker   all accelerators of the machines in TF_CONFIG; each machine runs the trainer itself
    tpu            the TPU named by TPU_NAME, by default that of this machine

A model that was built in the scope of a strategy is trained by it (`modules.training.distributed_fit`).
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgetune.modules.core.errors import ConfigError, TrainingError
from edgetune.modules.settings.training import Distribution

_EXAMPLE = (
    '{"cluster": {"worker": ["one:2222", "two:2222"]}, "task": {"type": "worker", "index": 0}}, '
    "with each worker's own index"
)
_JOBS = ("chief", "worker")


def check_in_process(kind: Distribution) -> None:
    """Check before a local run, whose components share one process, that the strategy can be used.

    Raises:
        ConfigError: The strategy needs several workers.
        TrainingError: There is no TPU.
    """
    if kind == "multi_worker":
        raise ConfigError(
            "training.distribution is multi_worker, but this run trains in a single process, which is one worker",
            "set it to mirrored for all devices of this machine, or start workers as docs/distributed.md describes",
        )
    if kind == "tpu":
        start(kind)


def start(kind: Distribution) -> tf.distribute.Strategy | None:
    """Create the strategy; None for `none`.

    With `multi_worker`, call it before TensorFlow computes anything in this process; it blocks until all workers have
    called it.

    Raises:
        ConfigError: TF_CONFIG is not set or not valid.
        TrainingError: The devices are not available, or TensorFlow was used before.
    """
    if kind == "mirrored":
        # Without accelerators, TensorFlow by default uses one CPU device only.
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    if kind == "multi_worker":
        return _multi_worker()
    return _tpu() if kind == "tpu" else None


def scope(strategy: tf.distribute.Strategy | None) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which to create the variables that `strategy` trains."""
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def strategy_of(model: keras.Model) -> tf.distribute.Strategy | None:
    """Return the strategy in whose scope a model was built, if any."""
    strategy = model.distribute_strategy
    distributed = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy, tf.distribute.TPUStrategy)
    return strategy if isinstance(strategy, distributed) else None


def is_chief(strategy: tf.distribute.Strategy | None) -> bool:
    """Return whether this process writes the results: it is the only one, or the first of several workers."""
    resolver = _workers(strategy)
    if resolver is None:
        return True
    return bool(
        resolver.task_type == "chief" or ("chief" not in resolver.cluster_spec().jobs and resolver.task_id == 0)
    )


def has_other_workers(strategy: tf.distribute.Strategy | None) -> bool:
    """Return whether other processes take part in the training."""
    return _workers(strategy) is not None


def agreed(strategy: tf.distribute.Strategy | None, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Return the mean over all workers, so that what each has computed by itself is the same, bit for bit, on all."""
    if strategy is None or not has_other_workers(strategy):
        return arrays

    def mean(array: np.ndarray) -> np.ndarray:
        own = strategy.run(lambda: tf.constant(array))
        return np.asarray(strategy.reduce(tf.distribute.ReduceOp.MEAN, own, axis=None))

    return [mean(array) for array in arrays]


def wait_for_all(strategy: tf.distribute.Strategy | None) -> None:
    """Block until every worker has called this; when one exits early, TensorFlow stops the others.

    Raises:
        TrainingError: Another worker has failed.
    """
    if strategy is None or not has_other_workers(strategy):
        return
    try:
        one = strategy.run(lambda: tf.ones([]))
        int(strategy.reduce(tf.distribute.ReduceOp.SUM, one, axis=None))
    except tf.errors.OpError as error:
        raise TrainingError(f"another worker has failed: {_first_line(error)}", "see that worker's log") from error


def _workers(strategy: tf.distribute.Strategy | None) -> Any:
    """Return the resolver of a cluster of several workers; None for a single process."""
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
            f"cannot join the workers of TF_CONFIG: {_first_line(error)}",
            "run the trainer in a separate process on every worker",
        ) from error
    except tf.errors.OpError as error:
        raise TrainingError(
            f"the workers of TF_CONFIG cannot reach each other: {_first_line(error)}",
            "check that every worker is running with the same cluster in TF_CONFIG, and that its port is reachable",
        ) from error


def _check_tf_config(text: str) -> None:
    if not text:
        raise ConfigError(
            "training.distribution is multi_worker, but the environment variable TF_CONFIG is not set",
            f"a platform sets it for a training with several workers; to set it by hand: {_EXAMPLE}",
        )
    try:
        config = json.loads(text)
        cluster, task, index = config["cluster"], config["task"]["type"], config["task"]["index"]
        if task not in _JOBS or not 0 <= int(index) < len(cluster[task]):
            raise ValueError(f"task {task} {index} is not one of the workers")
        if not all(isinstance(address, str) and ":" in address for job in cluster.values() for address in job):
            raise ValueError("an address does not have the form host:port")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigError(
            f"the environment variable TF_CONFIG is not valid: {what}", f"write it as {_EXAMPLE}"
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
            f"training.distribution is tpu, but TPU {name} cannot be used: {_first_line(error)}",
            "run on a machine with a TPU, name it in TPU_NAME, or set training.distribution to mirrored or none",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__

"""Train on the devices of a tf.distribute strategy, with the same result as on one device.

Keras's own `fit` does not achieve that. Up to Keras 3.6 it sums the devices' gradients although each is already a mean,
and reports the first device's metrics as those of all, so early stopping would see only a part of eval; and it cannot
sum metrics over several workers at all (keras#20585, keras#20609).

A global batch is split evenly. Each image's loss is divided by the size of the global batch, and gradients and metrics
are summed over the devices, so the result differs from that of one device only in the order of additions. If a batch
is not divisible, some of its images are repeated to fill the last shares, with a weight of zero.

Dropout draws the same pattern on every device, applied to different images.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from edgetune.modules.training.epochs import Epochs

Step = Callable[[tuple[tf.Tensor, ...]], tf.Tensor]
ReplicaStep = Callable[..., tf.Tensor]


def fit(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    loss: keras.losses.Loss,
    train: Epochs,
    evaluation: tf.data.Dataset,
    epochs: range,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Train as `model.fit` does with the same arguments on one device.

    Args:
        strategy: The strategy in whose scope the model was built and compiled.
        model: Maps images or activations float32 `[n, ...]` to probabilities `[n, C]`.
        loss: Its `call` returns the loss of each image.
        train: Global batches of inputs and labels int64 `[n]`, in the same order on every worker.
        evaluation: The same for eval, one epoch.
        epochs: Numbers of the epochs to train.
        callbacks: Called at the begin and end of the training and of each epoch, but not for batches.
    """
    callback_list = keras.callbacks.CallbackList(callbacks, model=model, epochs=epochs.stop, steps=None, verbose=0)
    train_batches, eval_batches = _distribute(strategy, train.since(epochs.start)), _distribute(strategy, evaluation)
    train_step = _summed(strategy, _train_step(model, loss, strategy.num_replicas_in_sync), train_batches)
    eval_step = _summed(strategy, _eval_step(model, loss), eval_batches)
    with strategy.scope():
        model.optimizer.build(model.trainable_variables)  # a step cannot create variables
    model.stop_training = False
    callback_list.on_train_begin()
    values: dict[str, float] = {}
    endless = iter(train_batches)
    for epoch in epochs:
        callback_list.on_epoch_begin(epoch)
        values = _means(train_step, itertools.islice(endless, train.steps))
        values |= {f"val_{name}": value for name, value in _means(eval_step, eval_batches).items()}
        callback_list.on_epoch_end(epoch, values)
        if model.stop_training:
            break
    callback_list.on_train_end(values)


def _distribute(strategy: tf.distribute.Strategy, data: tf.data.Dataset) -> tf.distribute.DistributedDataset:
    """Split every global batch into a share for each replica.

    A share is inputs, labels, weights (1.0, or 0.0 for an image that only fills the share), and the size of the global
    batch as a scalar.
    """
    replicas = strategy.num_replicas_in_sync

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        own = replicas // context.num_input_pipelines
        first = own * context.input_pipeline_id

        def share(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
            images = tf.shape(labels)[0]
            rows = -(-images // replicas)
            # The rows of this worker's replicas within the global batch; past its end they wrap around.
            position = tf.range(first * rows, (first + own) * rows)

            def split(tensor: tf.Tensor) -> tf.Tensor:
                return tf.reshape(tensor, tf.concat([[own, rows], tf.shape(tensor)[1:]], 0))

            weights = tf.cast(position < images, tf.float32)
            shares = [split(tf.gather(tensor, position % images)) for tensor in (inputs, labels)]
            shares = [
                tf.ensure_shape(part, [own, None, *tensor.shape[1:]])
                for part, tensor in zip(shares, (inputs, labels), strict=True)
            ]
            return (*shares, split(weights), tf.fill([own], tf.cast(images, tf.float32)))

        return data.map(share).unbatch().prefetch(tf.data.AUTOTUNE)

    return strategy.distribute_datasets_from_function(of_worker)


def _train_step(model: keras.Model, loss: keras.losses.Loss, replicas: int) -> ReplicaStep:
    def replica_step(inputs: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            probabilities = model(inputs, training=True)
            losses = tf.reduce_sum(weights * loss.call(labels, probabilities))
            penalty = _penalty(model)
            total = losses / images + penalty / replicas
        trainable = model.trainable_weights
        # The optimizer sums the gradients over the replicas.
        model.optimizer.apply_gradients(zip(tape.gradient(total, trainable), trainable, strict=True))
        return _sums(losses, penalty, labels, probabilities, weights)

    return replica_step


def _eval_step(model: keras.Model, loss: keras.losses.Loss) -> ReplicaStep:
    def replica_step(inputs: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        probabilities = model(inputs, training=False)
        losses = tf.reduce_sum(weights * loss.call(labels, probabilities))
        return _sums(losses, _penalty(model), labels, probabilities, weights)

    return replica_step


def _penalty(model: keras.Model) -> tf.Tensor:
    """Return the sum of the regularization losses."""
    return tf.add_n(model.losses) if model.losses else tf.zeros([])


def _sums(
    losses: tf.Tensor, penalty: tf.Tensor, labels: tf.Tensor, probabilities: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    """Return a replica's sums, float32 `[3]`: losses, correctly classified images, images."""
    correct = tf.cast(tf.argmax(probabilities, axis=-1, output_type=labels.dtype) == labels, tf.float32)
    images = tf.reduce_sum(weights)
    return tf.stack([losses + penalty * images, tf.reduce_sum(weights * correct), images])


def _summed(
    strategy: tf.distribute.Strategy, replica_step: ReplicaStep, batches: tf.distribute.DistributedDataset
) -> Step:
    @tf.function(input_signature=[batches.element_spec])
    def step(batch: tuple[tf.Tensor, ...]) -> tf.Tensor:
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(replica_step, args=batch), axis=None)

    return step


def _means(step: Step, batches: Iterable[tuple[tf.Tensor, ...]]) -> dict[str, float]:
    # Keep tensors until the end of the epoch: reading a value would wait for its step.
    steps = [step(batch) for batch in batches]
    losses, correct, images = np.stack([sums.numpy() for sums in steps]).sum(axis=0, dtype=np.float64)
    return {"accuracy": float(correct / images), "loss": float(losses / images)}

"""Training on the devices of a strategy, so that a step on many is the step on one.

Keras's own `fit` is not used for that. Up to 3.6 it adds the devices' gradients up where each is already a mean, and
takes the first device's metrics for those of all, so that early stopping would look at a part of eval; and it has no
way at all to sum metrics over several workers (keras#20585, keras#20609).

A global batch is shared out evenly. Every image's loss is divided by the images of the global batch, and gradients and
metrics are summed over the devices: what comes out is that of one device, but for the order of additions. Where a batch
does not divide, some of its images fill up the last device's share and count nothing there.

Dropout draws the same pattern on every device, of other images each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from edgetune.modules.training.epochs import Epochs

Step = Callable[[tuple[tf.Tensor, ...]], tf.Tensor]
OfReplica = Callable[..., tf.Tensor]


def fit(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    loss: keras.losses.Loss,
    train: Epochs,
    evaluation: tf.data.Dataset,
    epochs: range,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Does what `model.fit` does with the same arguments on one device.

    Args:
        strategy: The model was built and compiled in its scope.
        model: Images or activations float32 `[n, ...]` to probabilities `[n, C]`.
        loss: Its `call` gives the loss of each image.
        train: Global batches of inputs and labels int64 `[n]`, in the same order on every worker.
        evaluation: The same, of one epoch.
        epochs: Numbers of those that are trained.
        callbacks: Are told of the training, its epochs and their values, and not of batches.
    """
    told = keras.callbacks.CallbackList(callbacks, model=model, epochs=epochs.stop, steps=None, verbose=0)
    batches, checks = _shared_out(strategy, train.since(epochs.start)), _shared_out(strategy, evaluation)
    train_step = _summed(strategy, _training(model, loss, strategy.num_replicas_in_sync), batches)
    check_step = _summed(strategy, _checking(model, loss), checks)
    with strategy.scope():
        model.optimizer.build(model.trainable_variables)  # within a step it could make no variables
    model.stop_training = False
    told.on_train_begin()
    values: dict[str, float] = {}
    endless = iter(batches)
    for epoch in epochs:
        told.on_epoch_begin(epoch)
        values = _means(train_step, itertools.islice(endless, train.steps))
        values |= {f"val_{name}": value for name, value in _means(check_step, checks).items()}
        told.on_epoch_end(epoch, values)
        if model.stop_training:
            break
    told.on_train_end(values)


def _shared_out(strategy: tf.distribute.Strategy, data: tf.data.Dataset) -> tf.distribute.DistributedDataset:
    """Each replica's share of every global batch: inputs, labels, which of them count (1.0 or 0.0), and the images of
    the global batch as a scalar."""
    replicas = strategy.num_replicas_in_sync

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        own = replicas // context.num_input_pipelines
        first = own * context.input_pipeline_id

        def share(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
            images = tf.shape(labels)[0]
            rows = -(-images // replicas)
            # The rows of this worker's replicas, counted over the global batch; past its end they begin anew.
            place = tf.range(first * rows, (first + own) * rows)

            def split(tensor: tf.Tensor) -> tf.Tensor:
                return tf.reshape(tensor, tf.concat([[own, rows], tf.shape(tensor)[1:]], 0))

            counts = tf.cast(place < images, tf.float32)
            shares = [split(tf.gather(tensor, place % images)) for tensor in (inputs, labels)]
            shares = [
                tf.ensure_shape(part, [own, None, *tensor.shape[1:]])
                for part, tensor in zip(shares, (inputs, labels), strict=True)
            ]
            return (*shares, split(counts), tf.fill([own], tf.cast(images, tf.float32)))

        return data.map(share).unbatch().prefetch(tf.data.AUTOTUNE)

    return strategy.distribute_datasets_from_function(of_worker)


def _training(model: keras.Model, loss: keras.losses.Loss, replicas: int) -> OfReplica:
    def of_replica(inputs: tf.Tensor, labels: tf.Tensor, counts: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            probabilities = model(inputs, training=True)
            losses = tf.reduce_sum(counts * loss.call(labels, probabilities))
            penalty = _penalty(model)
            total = losses / images + penalty / replicas
        weights = model.trainable_weights
        # The optimizer sums the gradients over the replicas.
        model.optimizer.apply_gradients(zip(tape.gradient(total, weights), weights, strict=True))
        return _sums(losses, penalty, labels, probabilities, counts)

    return of_replica


def _checking(model: keras.Model, loss: keras.losses.Loss) -> OfReplica:
    def of_replica(inputs: tf.Tensor, labels: tf.Tensor, counts: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
        probabilities = model(inputs, training=False)
        losses = tf.reduce_sum(counts * loss.call(labels, probabilities))
        return _sums(losses, _penalty(model), labels, probabilities, counts)

    return of_replica


def _penalty(model: keras.Model) -> tf.Tensor:
    """Of the weights, as regularizers want it."""
    return tf.add_n(model.losses) if model.losses else tf.zeros([])


def _sums(
    losses: tf.Tensor, penalty: tf.Tensor, labels: tf.Tensor, probabilities: tf.Tensor, counts: tf.Tensor
) -> tf.Tensor:
    """float32 `[3]` of a replica: losses, images that are classified rightly, images."""
    right = tf.cast(tf.argmax(probabilities, axis=-1, output_type=labels.dtype) == labels, tf.float32)
    images = tf.reduce_sum(counts)
    return tf.stack([losses + penalty * images, tf.reduce_sum(counts * right), images])


def _summed(strategy: tf.distribute.Strategy, of_replica: OfReplica, batches: tf.distribute.DistributedDataset) -> Step:
    @tf.function(input_signature=[batches.element_spec])
    def step(batch: tuple[tf.Tensor, ...]) -> tf.Tensor:
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(of_replica, args=batch), axis=None)

    return step


def _means(step: Step, batches: Iterable[tuple[tf.Tensor, ...]]) -> dict[str, float]:
    # Kept as tensors until the end of the epoch: to look at each would be to wait for it.
    steps = [step(batch) for batch in batches]
    losses, right, images = np.stack([sums.numpy() for sums in steps]).sum(axis=0, dtype=np.float64)
    return {"accuracy": float(right / images), "loss": float(losses / images)}

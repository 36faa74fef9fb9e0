"""One replica's share of a batch, by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from edgetune.modules.training.distributed_fit import _sums, _train_step

L2 = 0.25


def test_a_share_gives_its_part_of_the_gradient_of_the_whole_batch():
    penalty = keras.regularizers.L2(L2)
    layer = keras.layers.Dense(2, activation="softmax", use_bias=False, kernel_regularizer=penalty)
    model = keras.Sequential([keras.Input((1,)), layer])
    kernel = np.float32([[0.4, -0.2]])
    model.set_weights([kernel])
    model.compile(keras.optimizers.SGD(1.0))
    # Of a batch of four images this share has two; the third only fills it.
    inputs, labels = np.float32([[1.0], [2.0], [9.0]]), np.array([0, 1, 1])
    loss = keras.losses.SparseCategoricalCrossentropy()
    step = _train_step(model, loss, replicas=2)
    step(tf.constant(inputs), tf.constant(labels), tf.constant([1.0, 1.0, 0.0]), tf.constant(4.0))
    scores = np.exp(inputs @ kernel)
    errors = scores / scores.sum(axis=1, keepdims=True) - np.eye(2)[labels]
    gradient = (inputs[:2].T @ errors[:2]) / 4 + 2 * L2 * kernel / 2
    np.testing.assert_allclose(model.get_weights()[0], kernel - gradient, rtol=1e-5)


def test_images_that_only_fill_a_share_do_not_count():
    probabilities = tf.constant([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])
    found = _sums(tf.constant(5.0), tf.constant(0.5), tf.constant([0, 1, 1]), probabilities, tf.constant([1.0, 1.0, 0]))
    assert found.numpy().tolist() == pytest.approx([6.0, 1.0, 2.0])

"""The LiteRT converter and its option classes; only this file knows which package they come from.

Today that is TensorFlow. When the converter moves to its own package (`litert-converter`), only this file changes. To
run models, all code uses `ai_edge_litert`, because `tf.lite.Interpreter` will be removed from TensorFlow first.
"""

from __future__ import annotations

import tensorflow as tf

Converter = tf.lite.TFLiteConverter
OpsSet = tf.lite.OpsSet
Optimize = tf.lite.Optimize
TargetSpec = tf.lite.TargetSpec

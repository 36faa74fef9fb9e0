"""The converter to LiteRT, and the names of its options: no other file says where they come from.

It is TensorFlow's today, and leaves it for a package of its own (`litert-converter`): then this file changes. What runs
a model is `ai_edge_litert` everywhere; `tf.lite.Interpreter` goes first.
"""

from __future__ import annotations

import tensorflow as tf

Converter = tf.lite.TFLiteConverter
OpsSet = tf.lite.OpsSet
Optimize = tf.lite.Optimize
TargetSpec = tf.lite.TargetSpec

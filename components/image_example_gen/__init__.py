"""ImageExampleGen: reads untrusted images into tf.Examples."""

from edgetune.components.image_example_gen.component import ImageExampleGen

__all__ = ["ImageExampleGen"]

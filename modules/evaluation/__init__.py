"""Each `.tflite` compared with the SavedModel, and TFMA's results."""

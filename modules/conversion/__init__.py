"""SavedModel to `.tflite`: the converter, cross-layer equalization, quantization."""

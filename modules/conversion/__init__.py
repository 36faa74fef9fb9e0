"""Convert a SavedModel to LiteRT files: the converter, cross-layer equalization and quantization."""

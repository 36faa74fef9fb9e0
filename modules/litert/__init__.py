"""A `.tflite` file: flatbuffer, metadata, graph, interpreter, and a probe for crashes."""

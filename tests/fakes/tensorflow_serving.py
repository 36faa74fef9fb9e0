"""A minimal TensorFlow Serving: loads a SavedModel in a session and answers requests of its REST and gRPC interfaces.

The REST format is that of TensorFlow Serving's documentation ("RESTful API"); the messages are `ModelSpec`,
`PredictRequest` and `PredictResponse` of its `apis/model.proto` and `apis/predict.proto`, with their public numbers.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

_DEFAULT = "serving_default"
_STRING, _MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
_ONE, _MANY = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL, descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
_PACKAGE = ".tensorflow.serving"


def _messages() -> dict[str, type]:
    file = descriptor_pb2.FileDescriptorProto(name="edgetune_test/predict.proto", package=_PACKAGE[1:], syntax="proto3")
    file.dependency.append("tensorflow/core/framework/tensor.proto")
    spec = file.message_type.add(name="ModelSpec")
    spec.field.add(name="name", number=1, type=_STRING, label=_ONE)
    spec.field.add(name="signature_name", number=3, type=_STRING, label=_ONE)
    for name, field, number in (("PredictRequest", "inputs", 2), ("PredictResponse", "outputs", 1)):
        message = file.message_type.add(name=name)
        entry = f"{field.capitalize()}Entry"
        pair = message.nested_type.add(name=entry)
        pair.options.map_entry = True
        pair.field.add(name="key", number=1, type=_STRING, label=_ONE)
        pair.field.add(name="value", number=2, type=_MESSAGE, label=_ONE, type_name=".tensorflow.TensorProto")
        place = 1 if name == "PredictRequest" else 2
        message.field.add(name="model_spec", number=place, type=_MESSAGE, label=_ONE, type_name=f"{_PACKAGE}.ModelSpec")
        message.field.add(name=field, number=number, type=_MESSAGE, label=_MANY, type_name=f"{_PACKAGE}.{name}.{entry}")
    # Not in TensorFlow's own pool, where other classes would take the place of TensorFlow's.
    pool = descriptor_pool.DescriptorPool()

    def add(needed: Any) -> None:
        for dependency in needed.dependencies:
            add(dependency)
        pool.AddSerializedFile(needed.serialized_pb)

    add(tensor_pb2.DESCRIPTOR)
    pool.AddSerializedFile(file.SerializeToString())
    # protobuf 3.20, which TFX 1.16 needs, has another name for it.
    get = getattr(message_factory, "GetMessageClass", None) or message_factory.MessageFactory(pool).GetPrototype
    names = ("PredictRequest", "PredictResponse")
    return {name: get(pool.FindMessageTypeByName(f"{_PACKAGE[1:]}.{name}")) for name in names}


MESSAGES = _messages()
"""`PredictRequest` and `PredictResponse`."""


class Server:
    """A SavedModel, loaded as TensorFlow Serving loads one: a session with the graph of the tag `serve`."""

    def __init__(self, saved_model: str) -> None:
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            loaded = tf.compat.v1.saved_model.load(self._session, ["serve"], saved_model)
        self._signatures = loaded.signature_def

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def rest(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer the body of `POST /v1/models/<name>:predict`, in row or in column format."""
        name = request.get("signature_name", _DEFAULT)
        [wanted] = self._signatures[name].inputs
        rows = request["instances"] if "instances" in request else request["inputs"]
        if isinstance(rows, dict) and set(rows) != {"b64"}:
            rows = rows[wanted]
        try:
            values = [base64.b64decode(row["b64"] if "b64" in row else row[wanted]["b64"]) for row in rows]
            found = self._run(name, {wanted: np.array(values, object)})
        except tf.errors.InvalidArgumentError as error:
            return {"error": error.message}
        if "inputs" in request:
            return {"outputs": {key: _as_json(value) for key, value in found.items()}}
        return {
            "predictions": [{key: _as_json(value[row]) for key, value in found.items()} for row in range(len(values))]
        }

    def grpc(self, serialized: bytes) -> bytes:
        """Answer a serialized `PredictRequest` of `PredictionService.Predict` by a serialized `PredictResponse`.

        Raises:
            tf.errors.InvalidArgumentError: What the server returns as the status INVALID_ARGUMENT.
        """
        request = MESSAGES["PredictRequest"].FromString(serialized)
        inputs = {name: tf.make_ndarray(_known(value)) for name, value in request.inputs.items()}
        response = MESSAGES["PredictResponse"]()
        for name, value in self._run(request.model_spec.signature_name or _DEFAULT, inputs).items():
            response.outputs[name].ParseFromString(tf.make_tensor_proto(value).SerializeToString())
        return bytes(response.SerializeToString())

    def _run(self, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        signature = self._signatures[name]
        feeds = {signature.inputs[key].name: value for key, value in inputs.items()}
        return dict(self._session.run({key: output.name for key, output in signature.outputs.items()}, feeds))


def _known(value: Any) -> Any:
    return tf.make_tensor_proto([]).FromString(value.SerializeToString())


def _as_json(value: Any) -> Any:
    value = np.asarray(value).tolist()
    return value.decode() if isinstance(value, bytes) else value

"""A minimal TensorFlow Serving: loads a SavedModel in a session and answers requests of its REST and gRPC interfaces.

The REST format is that of TensorFlow Serving's documentation ("RESTful API"); the messages are those of the package
`tensorflow-serving-api`.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

_DEFAULT = "serving_default"


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
        """Answer a serialized request of `PredictionService.Predict` by a serialized response.

        Raises:
            tf.errors.InvalidArgumentError: What the server returns as the status INVALID_ARGUMENT.
        """
        request = PredictRequest.FromString(serialized)
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        response = PredictResponse()
        for name, value in self._run(request.model_spec.signature_name or _DEFAULT, inputs).items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return bytes(response.SerializeToString())

    def _run(self, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        signature = self._signatures[name]
        feeds = {signature.inputs[key].name: value for key, value in inputs.items()}
        return dict(self._session.run({key: output.name for key, output in signature.outputs.items()}, feeds))


def _as_json(value: Any) -> Any:
    value = np.asarray(value).tolist()
    return value.decode() if isinstance(value, bytes) else value

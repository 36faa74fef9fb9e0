"""An app that nobody updates: `python tflite_runtime_client.py REQUEST.json RESPONSE.json`, in its own environment.

`tests/clients/client_process.py` says what a request and a response are. The app hands over pixels in the input's type
and takes what comes out for probabilities; it knows neither metadata nor quantization.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
from tflite_runtime.interpreter import Interpreter


def main(request: str, response: str) -> None:
    """Answers all questions of a request, one after the other."""
    with open(request, encoding="utf-8") as file:
        questions = json.load(file)
    answers = {name: answer(**question) for name, question in questions.items()}
    with open(response, "w", encoding="utf-8") as file:
        json.dump({"version": version("tflite-runtime"), "answers": answers}, file)


def answer(model: str, images: str) -> dict[str, Any]:
    """Return one model's output for each image, or the error and where it occurred."""
    found: dict[str, Any] = {"stage": "load"}
    try:
        interpreter = Interpreter(model_path=model)
        interpreter.allocate_tensors()
        found["stage"] = "classify"
        image, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        rows = []
        for pixels in np.load(images):
            interpreter.set_tensor(image["index"], pixels[np.newaxis].astype(image["dtype"]))
            interpreter.invoke()
            rows.append(interpreter.get_tensor(output["index"])[0].tolist())
        found["probabilities"] = rows
    except Exception as error:  # whatever it is, the test wants to see it
        found["error"] = f"{type(error).__name__}: {error}"
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])

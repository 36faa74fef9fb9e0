"""Asking a client in its own environment: one process for many models and images, JSON over files.

A request is an object of questions by name: `model`, the path of a .tflite file, and `images`, the path of a .npy file
with uint8 `[N, S, S, 3]`, RGB, or (MediaPipe only) a list of paths of images. A response has the client's `version` and
`answers` by the same names: `probabilities` (`[N][C]`) or `categories` (per image `[index, name, score]`, best
first), `metadata` and `accepted` (per image a class or null) where the client reads them, or `error`; and `stage`, how
far it came: metadata, load, classify.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.clients.environments import HERE, Client, Unavailable, interpreter

SECONDS = 180
_LIBRARY = "cannot open shared object file"


def ask(client: Client, questions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Put a request to a client.

    Raises:
        Unavailable: It cannot be installed or started on this machine.
        RuntimeError: It did not come to an end.
    """
    python = interpreter(client)
    script = HERE / f"{client.name.replace('-', '_')}_client.py"
    with tempfile.TemporaryDirectory(prefix="edgetune-tests-") as folder:
        request, response = Path(folder, "request.json"), Path(folder, "response.json")
        plain = {name: {key: _plain(value) for key, value in question.items()} for name, question in questions.items()}
        request.write_text(json.dumps(plain), encoding="utf-8")
        command = [str(python), str(script), str(request), str(response)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
        if done.returncode == 0:
            return dict(json.loads(response.read_text(encoding="utf-8")))
    lines = done.stderr.strip().splitlines() or ["it said nothing"]
    if _LIBRARY in lines[-1]:
        raise Unavailable(f"{client.name} misses a library of the system ({lines[-1]}); it needs EGL, GLES 2 and GL")
    raise RuntimeError(f"{client.name} ended with {done.returncode}: " + "\n".join(lines[-20:]))


def _plain(value: Any) -> Any:
    return [str(each) for each in value] if isinstance(value, list) else str(value)


def rows(categories: list[list[tuple[int, str, float]]]) -> np.ndarray:
    """MediaPipe's categories as probabilities in the order of the output, float64 `[N, C]`."""
    return np.array([[score for _, _, score in sorted(image)] for image in categories])

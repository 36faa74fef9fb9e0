"""No environment variable, keras.json or earlier code of the process changes what is built and trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BUILD = """
from edgetune.modules.models.backbone import assemble
from edgetune.modules.settings.run import ModelSettings
import keras
model = assemble(ModelSettings(alpha=0.35, image_size=32, weights="none"))
dtypes = sorted({str(weight.dtype) for weight in model.weights} | {layer.compute_dtype for layer in model.layers})
config = keras.config
print(config.backend(), model.input_shape, dtypes, config.image_data_format(), config.floatx(), config.epsilon())
"""
EXPECTED = "tensorflow (None, 32, 32, 3) ['float32'] channels_last float32 1e-07"
KERAS_JSON = {"backend": "jax", "image_data_format": "channels_first", "floatx": "float16", "epsilon": 0.5}


def python(code: str, root: Path, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    environment = {**kept, "KERAS_HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a Keras home whose keras.json changes everything that one can."""
    (tmp_path / "keras.json").write_text(json.dumps(KERAS_JSON), encoding="utf-8")
    return tmp_path


def test_the_environment_and_keras_json_change_nothing(root, home):
    done = python(BUILD, root, home, KERAS_BACKEND="jax")
    assert done.stdout.strip() == EXPECTED, done.stderr


@pytest.mark.large  # a process that imports TensorFlow, like the one above
def test_a_notebook_s_policy_changes_nothing_and_its_other_backend_is_refused_with_a_remedy(root, tmp_path):
    code = "import os; os.environ['KERAS_BACKEND'] = 'tensorflow'\nimport keras\n"
    code += "keras.mixed_precision.set_global_policy('mixed_float16'); keras.config.set_floatx('float16')\n"
    code += f"{BUILD}keras.config.backend = lambda: 'jax'\n"
    code += "try:\n    assemble(ModelSettings(alpha=0.35, image_size=32, weights='none'))\n"
    code += "except Exception as error:\n    print(type(error).__name__, error)\n"
    done = python(code, root, tmp_path)
    built, *refused = done.stdout.splitlines()
    assert built == EXPECTED, done.stderr
    assert "ConfigError Keras runs on jax in this process" in refused[0]
    assert "KERAS_BACKEND=tensorflow" in " ".join(refused)

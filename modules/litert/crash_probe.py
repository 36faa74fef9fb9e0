"""Run a model once in a child process to check that it does not crash the LiteRT interpreter.

The interpreter is C++ and aborts on some well-formed models, for instance if a scale is almost zero. In the process of
a component, that would end the run without an error message.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from edgetune.modules.core import bounds, child_process
from edgetune.modules.core.errors import EdgetuneError


def crash_reason(content: bytes, batch: int) -> str | None:
    """Run a model on one batch of black images in a child process.

    Python exceptions are ignored here; the caller will see them again when it runs the model.

    Args:
        content: The file; input `[1, S, S, 3]`.
        batch: Number of images to run at once.

    Returns:
        How the child process crashed or that it timed out, in a few words; None if it did neither.
    """
    with tempfile.NamedTemporaryFile(prefix="edgetune-", suffix=".tflite") as file:
        file.write(content)
        file.flush()
        process = child_process.start(
            "edgetune.modules.litert.crash_probe",
            file.name,
            str(batch),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            code = process.wait(bounds.MODEL_SECONDS)
        except subprocess.TimeoutExpired:
            return f"the LiteRT interpreter takes more than {bounds.MODEL_SECONDS} seconds for {batch} images"
        finally:
            process.kill()
            process.wait()
    return f"the LiteRT interpreter ends the process that runs it ({child_process.ending(code)})" if code else None


def main() -> None:
    """Run the model; entry point of the child process."""
    import numpy as np

    from edgetune.modules.litert.interpreter import EdgeRunner

    path, batch = sys.argv[1:]
    try:
        runner = EdgeRunner(Path(path).read_bytes(), int(batch))
        runner.probabilities(np.zeros((runner.batch, *runner.image_shape), np.uint8))
    except (EdgetuneError, RuntimeError, ValueError, IndexError):
        return


if __name__ == "__main__":
    main()

"""Whether the interpreter outlives a model, tried in a process of its own before it is run in this one.

The interpreter is C++ and aborts on some models that are well-formed, such as on a scale of nearly nothing. In the
process of a component that would be the end of the run without a word of why.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from edgetune.modules.core import child_process
from edgetune.modules.core.errors import EdgetuneError

_SECONDS = 300


def crash_reason(content: bytes, batch: int) -> str | None:
    """Runs a model on one batch of black images.

    An error that can be caught is none of this: whoever runs the model will meet it again.

    Args:
        content: The file; input `[1, S, S, 3]`.
        batch: Images to run at once.

    Returns:
        How the process ended, in a few words; None where it lived.
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
            code = process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            return f"the LiteRT interpreter takes more than {_SECONDS} seconds for {batch} images"
        finally:
            process.kill()
            process.wait()
    return f"the LiteRT interpreter ends the process that runs it ({child_process.ending(code)})" if code else None


def main() -> None:
    """The child."""
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

"""Write the embedded default data, the 1,797 handwritten digits in scikit-learn, as class folders.

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998; the
test part, 8 x 8 pixels with 17 shades each. CC BY 4.0.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

EMBEDDED = "embedded:digits"
_SHADES = 16


def write_digits(folder: Path) -> Path:
    """Write the digits as `<folder>/<digit>/<number>.png`, 8 x 8 pixels, grey, unless `folder` exists.

    The folder appears complete or not at all.

    Returns:
        `folder`.
    """
    if folder.is_dir():
        return folder
    from sklearn.datasets import load_digits

    digits = load_digits()
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            path = part / str(label) / f"{number:04}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.rint(pixels * (255.0 / _SHADES)).astype(np.uint8)).save(path)
        part.chmod(0o755)
        part.replace(folder)
    except BaseException as error:  # clean up after an interrupt too
        shutil.rmtree(part, ignore_errors=True)
        if not (isinstance(error, OSError) and folder.is_dir()):  # unless another run was faster
            raise
    return folder

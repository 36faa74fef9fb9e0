"""Processes that edgetune starts to work apart, such as the LiteRT converter, and others that need no GPU."""

from __future__ import annotations

import os

from edgetune.modules.core.package_paths import ROOT

# CUDA's own way of saying "none". A process that only looks at a GPU takes some 500 MB of its memory.
_WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}


def environment() -> dict[str, str]:
    """Environment of a child process: this one's, with edgetune's code on the path and without a GPU.

    The child runs beside a training that has the GPU, and converts or measures what runs on the CPU of a phone: a GPU
    would round other bits.
    """
    path = os.pathsep.join(filter(None, [str(ROOT.parent), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **_WITHOUT_GPU, "PYTHONPATH": path}


def hide_gpus() -> None:
    """Leaves the GPUs of this machine to others. Call it before TensorFlow is imported."""
    os.environ.update(_WITHOUT_GPU)

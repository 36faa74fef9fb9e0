"""Environment of child processes, such as the LiteRT converter, and of other processes that need no GPU."""

from __future__ import annotations

import os

from edgetune.modules.core.package_paths import ROOT

# CUDA's value for "no device". A process that merely detects a GPU reserves some 500 MB of its memory.
_WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": "-1"}


def environment() -> dict[str, str]:
    """Return this process's environment with edgetune's code on the path and without a GPU.

    A child may run while a training uses the GPU, and it converts or measures models for the CPU of a phone: a GPU
    would round differently.
    """
    path = os.pathsep.join(filter(None, [str(ROOT.parent), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **_WITHOUT_GPU, "PYTHONPATH": path}


def hide_gpus() -> None:
    """Hide this machine's GPUs from this process. Call it before TensorFlow is imported."""
    os.environ.update(_WITHOUT_GPU)

"""A fake NVIDIA GPU, as far as TensorFlow looks before it computes: driver, `nvidia-smi` and CUDA wheels.

Real TensorFlow decides which libraries it needs and where it looks for them; only the files that it finds are fake.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("gpu.c")
# For both generations: folder in the wheels, and library.
_LIBRARIES = (
    ("cuda_runtime", "libcudart.so.12"),
    ("cublas", "libcublas.so.12"),
    ("cublas", "libcublasLt.so.12"),
    ("cudnn", "libcudnn.so.8"),
    ("cudnn", "libcudnn.so.9"),
    ("cufft", "libcufft.so.11"),
    ("cusolver", "libcusolver.so.11"),
    ("cusparse", "libcusparse.so.12"),
    ("nccl", "libnccl.so.2"),
    ("cuda_cupti", "libcupti.so.12"),
)


class Machine:
    """The files of the fake machine in `folder`; skips the test if there is no C compiler."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler to build a driver with")
        self._compiler, self._folder = compiler, folder
        for name in ("libcuda.so.1", "libnvidia-ml.so.1"):
            self._library(folder / "driver" / name, _SOURCE)
        empty = folder / "empty.c"
        empty.write_text("int edgetune_fake(void) { return 0; }\n")
        for wheel, name in _LIBRARIES:
            self._library(folder / "wheels" / "nvidia" / wheel / "lib" / name, empty)
        tool = folder / "bin" / "nvidia-smi"
        tool.parent.mkdir()
        tool.write_text("#!/bin/sh\necho 'GPU 0: Fake GPU (UUID: GPU-0)'\n")
        tool.chmod(0o755)

    def environment(self, *, driver: bool = True, wheels: bool = True, **others: str) -> dict[str, str]:
        """Return the environment of a process on that machine, with edgetune's code on its path."""
        env = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
        env["PATH"] = f"{self._folder / 'bin'}:{env['PATH']}"
        path = [str(_SOURCE.parents[1])]
        if wheels:
            path.append(str(self._folder / "wheels"))
        if driver:
            env["LD_LIBRARY_PATH"] = str(self._folder / "driver")
        return {**env, "PYTHONPATH": os.pathsep.join(path), **others}

    def _library(self, path: Path, source: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [self._compiler, "-shared", "-fPIC", "-w", f"-Wl,-soname,{path.name}", str(source), "-o", str(path)]
        subprocess.run(command, check=True)

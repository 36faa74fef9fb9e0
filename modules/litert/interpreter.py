"""Run a LiteRT model in the interpreter that phones use: in batches for accuracy, image by image for latency."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edgetune.modules.core.errors import ExportError
from edgetune.modules.litert.declared_metadata import normalisation_of

LATENCY_RUNS = 50
_WARM_UP = 5
# Batches and single images may use different kernels, whose results differ by rounding or by steps of an 8-bit output.
_BATCH_TOLERANCE = 0.02


@dataclass(frozen=True)
class Latency:
    """Latency of one image in the interpreter, without decoding and resizing."""

    p50_ms: float
    p95_ms: float
    runs: int
    threads: int
    cpu: str


class EdgeRunner:
    """One LiteRT model, ready to run.

    Args:
        content: The file; input `[1, S, S, 3]`, uint8 in 0..255, or float32 of the range that its metadata declares
            (0..255 if there is none); output float32 `[1, C]`.
        batch: Number of images to run at once, if the model's graph allows its first dimension to be resized.
        threads: Number of interpreter threads; all cores by default.
        normalisation: Mean and deviation that a float32 input takes; those of the metadata by default.

    Raises:
        ExportError: The interpreter cannot load the model, or its metadata cannot be read.
    """

    def __init__(
        self,
        content: bytes,
        batch: int = 1,
        threads: int | None = None,
        normalisation: tuple[float, float] | None = None,
    ) -> None:
        self._content, self._threads = content, threads or cores()
        self.batch = 1
        self._interpreter = self._load(1)
        self._dtype = self._interpreter.get_input_details()[0]["dtype"]
        self._mean, self._std = np.zeros(1, np.float32), np.ones(1, np.float32)
        if self._dtype == np.float32 and normalisation is None:
            self._mean, self._std = normalisation_of(content)
        elif self._dtype == np.float32:
            self._mean, self._std = (np.array([value], np.float32) for value in normalisation or ())
        if batch > 1 and self._supports_batch(batch):
            self.batch, self._interpreter = batch, self._load(batch)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Height, width and channels of an image."""
        return tuple(int(size) for size in self._interpreter.get_input_details()[0]["shape"][1:])

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of images.

        Args:
            images: uint8 `[N, S, S, 3]`, RGB.

        Returns:
            float32 `[N, C]`.
        """
        return np.concatenate([self._run(images[i : i + self.batch]) for i in range(0, len(images), self.batch)])

    def values(self, images: np.ndarray) -> np.ndarray:
        """Return what the model takes for images uint8 `[N, S, S, 3]`: of the same shape, float32 or uint8."""
        values = images.astype(self._dtype)
        if self._mean.any() or (self._std != 1).any():
            values = (values - self._mean) / self._std
        return values

    def latency(self, images: np.ndarray, runs: int = LATENCY_RUNS) -> Latency:
        """Measure `runs` single images, uint8 `[N, S, S, 3]`, taken in turn; requires `batch` 1."""
        singles = [self.values(image[np.newaxis]) for image in images]
        spent = []
        for run in range(_WARM_UP + runs):
            start = time.perf_counter()
            self._invoke(singles[run % len(singles)])
            spent.append(1000 * (time.perf_counter() - start))
        p50, p95 = (round(float(value), 3) for value in np.percentile(spent[_WARM_UP:], [50, 95]))
        return Latency(p50, p95, runs, self._threads, cpu_name())

    def _load(self, batch: int) -> Interpreter:
        try:
            interpreter = Interpreter(model_content=self._content, num_threads=self._threads)
            [image] = interpreter.get_input_details()
            if batch > 1:
                interpreter.resize_tensor_input(image["index"], [batch, *image["shape"][1:]])
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            reason = (str(error).splitlines() or ["no reason given"])[0]
            raise ExportError(
                f"the LiteRT interpreter cannot load the model: {reason}", "convert the model again"
            ) from None
        return interpreter

    def _supports_batch(self, batch: int) -> bool:
        """Return whether a batch gives the same results as its images one by one; a fixed shape can prevent it."""
        [details] = self._interpreter.get_input_details()
        images = np.random.default_rng(0).integers(0, 256, (batch, *details["shape"][1:]), dtype=np.uint8)
        single = [self._run(images[i : i + 1]) for i in (0, batch - 1)]
        kept = self._interpreter
        try:
            self.batch, self._interpreter = batch, self._load(batch)
            together = self._run(images)
        except (ExportError, RuntimeError, ValueError):
            return False
        finally:
            self.batch, self._interpreter = 1, kept
        if together.shape != (batch, single[0].shape[1]):
            return False
        return all(
            np.allclose(one[0], together[i], atol=_BATCH_TOLERANCE) for one, i in zip(single, (0, -1), strict=True)
        )

    def _run(self, images: np.ndarray) -> np.ndarray:
        padded = np.zeros((self.batch, *images.shape[1:]), np.uint8)
        padded[: len(images)] = images  # the last batch may be short; resizing the input would reallocate tensors
        return self._invoke(self.values(padded))[: len(images)]

    def _invoke(self, values: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], values)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._interpreter.get_output_details()[0]["index"]))


def runtime() -> str:
    """Return name and version of the interpreter, such as `ai-edge-litert 2.3.0`."""
    return f"ai-edge-litert {version('ai-edge-litert')}"


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """Return the processor's name if the system reports it, else its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

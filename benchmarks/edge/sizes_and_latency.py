"""Compare our LiteRT models with the converter's from plain `keras.applications`: size, latency and answers.

    python -m benchmarks.edge.sizes_and_latency --weights FILE.h5 [--data DIR]

Both have the same weights, head and calibration images; the benchmark first checks that both networks give the same
answers. "Plain" is what the guides show: `model.export` and the converter's own quantization, without labels and
metadata; plain MobileNetV2 expects its caller to normalise. "Ours" is what EdgeExporter writes.

All models run in one process and in turn, a few images each, so that other load on the machine affects all alike. Only
the interpreter is timed, from input to output: this includes normalisation for ours, but not for plain MobileNetV2.

The interpreter has its default settings, with XNNPACK. If it rejects a plain file, as int8 of MobileNetV3 with a
channel that no image activates, the table says so and the file is not timed; if it rejects one of ours, a claim does
not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from benchmarks.edge import models as edge_models
from benchmarks.edge.models import PLAIN, VARIANTS, Images
from benchmarks.lib.measure import cpu_name
from edgetune.modules.litert.interpreter import runtime
from edgetune.modules.settings.run import ModelSettings

MAX_SIZE_RATIO = 1.02
# Two runs of the same file differ by as much on a machine that is not idle.
MAX_TIME_RATIO = 1.02
# For MobileNetV2 1.0 at 224 pixels in int8.
MAX_BYTES = 4_000_000
_BLOCK = 10
_WARM_UP = 2

File = tuple[str, str]
"""Variant, and `ours` or `plain`."""


@dataclass(frozen=True)
class Measured:
    """Measurements of one file."""

    variant: str
    way: str
    bytes: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    accuracy: float | None = None
    agreement: float | None = None
    """Share of images for which the Keras model names the same class."""
    refused: str | None = None
    """The interpreter's error if it rejected the file; then only the size was measured."""


class _Model:
    """A file in the interpreter, with the preparation of pixels that its caller must do."""

    def __init__(self, content: bytes, threads: int, normalise: Callable[[np.ndarray], np.ndarray] | None) -> None:
        self._interpreter = Interpreter(model_content=content, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._normalise = normalise
        [self._image], [self._output] = self._interpreter.get_input_details(), self._interpreter.get_output_details()

    def prepared(self, image: np.ndarray) -> np.ndarray:
        """Return the input for an image uint8 `[S, S, 3]`; ours takes the pixels as they are."""
        pixels = image[np.newaxis].astype(np.float32)
        if self._normalise is not None:
            pixels = self._normalise(pixels)
            if self._image["dtype"] == np.uint8:
                scale, zero_point = self._image["quantization"]
                pixels = np.clip(np.round(pixels / scale + zero_point), 0, 255)
        return pixels.astype(self._image["dtype"])

    def run(self, values: np.ndarray) -> np.ndarray:
        """Return probabilities `[1, C]`."""
        self._interpreter.set_tensor(self._image["index"], values)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output["index"]))


def main() -> int:
    """Measure, print the tables, and return 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, metavar="FILE", help="weights of the backbone, in Keras's format")
    parser.add_argument("--backbone", choices=PLAIN, default="mobilenet_v2")
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=224, help="image size in pixels; default: %(default)s")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="photographs as DIR/<class>/*.jpg; default: tiles of two"
    )
    parser.add_argument("--runs", type=int, default=200, help="timed runs of each model; default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="threads of the interpreter; default: %(default)s")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all figures as JSON")
    options = parser.parse_args()

    machine = f"{platform.machine()}, {cpu_name()}, {os.cpu_count()} cores"
    print(f"{machine}, {runtime()}, TensorFlow {tf.__version__}; {options.threads} thread(s), {options.runs} runs each")
    settings = ModelSettings(
        backbone=options.backbone, alpha=options.alpha, image_size=options.size, weights=options.weights
    )
    images = edge_models.from_folder(options.data, options.size) if options.data else edge_models.tiles(options.size)
    print(f"{len(images.train)} images to fit the head and to calibrate on, {len(images.test)} to measure on")
    network = edge_models.fitted(settings, images)
    with tempfile.TemporaryDirectory() as folder:
        contents = {
            "ours": edge_models.ours(network, images, Path(folder, "ours")),
            "plain": edge_models.plain(settings, network, images, Path(folder, "plain")),
        }
    expected = edge_models.probabilities(network, images.test).argmax(axis=1)
    measured, ratios = _measure(contents, options, images, expected)
    claims = _claims(measured, ratios, settings)
    _print(measured, ratios)
    for claim, holds in claims.items():
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {claim}")
    if options.out:
        model = settings.model_dump(mode="json") | {"weights": Path(options.weights).name}
        content = {"machine": machine, "runtime": runtime(), "threads": options.threads, "runs": options.runs}
        content |= {"model": model, "measured": [asdict(each) for each in measured], "times_as_long": ratios}
        options.out.write_text(json.dumps(content | {"claims": claims}, indent=1) + "\n", encoding="utf-8")
    return int(not all(claims.values()))


def _measure(
    contents: dict[str, dict[str, bytes]], options: argparse.Namespace, images: Images, expected: np.ndarray
) -> tuple[list[Measured], dict[str, float]]:
    """Return the measurements of all files, and for each variant the median over rounds of our time over plain's.

    A variant has no such ratio if the interpreter rejects one of its files.
    """
    models: dict[File, _Model] = {}
    refused: dict[File, str] = {}
    for variant in VARIANTS:
        for way, files in contents.items():
            normalise = PLAIN[options.backbone].normalise if way == "plain" else None
            try:
                models[variant, way] = _Model(files[variant], options.threads, normalise)
            except (RuntimeError, ValueError) as error:
                refused[variant, way] = " ".join(str(error).split())
    spent = _in_turn(models, images.test, max(1, options.runs // _BLOCK))
    measured = []
    for variant, way in ((variant, way) for variant in VARIANTS for way in contents):
        file, size = (variant, way), len(contents[way][variant])
        if file in refused:
            measured.append(Measured(variant, way, size, refused=refused[file]))
            continue
        answers = np.concatenate([models[file].run(models[file].prepared(image)) for image in images.test])
        best = answers.argmax(axis=1)
        p50, p95 = np.percentile(np.ravel(spent[file]), [50, 95])
        accuracy, agreement = np.mean(best == images.test_labels), np.mean(best == expected)
        p50, p95, accuracy, agreement = (round(float(value), 4) for value in (p50, p95, accuracy, agreement))
        measured.append(Measured(variant, way, size, p50, p95, accuracy, agreement))
    ratios = {
        variant: statistics.median(
            statistics.median(ours) / statistics.median(plain)
            for ours, plain in zip(spent[variant, "ours"], spent[variant, "plain"], strict=True)
        )
        for variant in VARIANTS
        if {(variant, "ours"), (variant, "plain")} <= set(spent)
    }
    return measured, ratios


def _in_turn(models: dict[File, _Model], images: np.ndarray, rounds: int) -> dict[File, list[list[float]]]:
    """Return the milliseconds of each run, by round by model; every second round runs the models in reverse order."""
    spent: dict[File, list[list[float]]] = {file: [] for file in models}
    for number in range(rounds):
        for file in list(models)[:: -1 if number % 2 else 1]:
            block = []
            for run in range(_WARM_UP + _BLOCK):
                values = models[file].prepared(images[(number * _BLOCK + run) % len(images)])
                started = time.perf_counter()
                models[file].run(values)
                block.append(1000 * (time.perf_counter() - started))
            spent[file].append(block[_WARM_UP:])
    return spent


def _claims(measured: Sequence[Measured], ratios: dict[str, float], settings: ModelSettings) -> dict[str, bool]:
    sizes = {(each.variant, each.way): each.bytes for each in measured}
    claims = {}
    for variant in VARIANTS:
        small = sizes[variant, "ours"] <= MAX_SIZE_RATIO * sizes[variant, "plain"]
        claims[f"{variant}: at most {MAX_SIZE_RATIO - 1:.0%} larger"] = small
        if variant in ratios:
            fast = ratios[variant] <= MAX_TIME_RATIO
            claims[f"{variant}: at most {MAX_TIME_RATIO - 1:.0%} slower, which is noise"] = fast
    claims["the interpreter accepts ours"] = not any(each.refused for each in measured if each.way == "ours")
    if (settings.backbone, settings.alpha, settings.image_size) == ("mobilenet_v2", 1.0, 224):
        claims[f"int8: at most {MAX_BYTES / 1e6:.1f} MB"] = sizes["int8", "ours"] <= MAX_BYTES
    return claims


def _print(measured: Sequence[Measured], ratios: dict[str, float]) -> None:
    print("| variant | | bytes | p50, ms | p95, ms | accuracy | agreement |\n|-|-|-:|-:|-:|-:|-:|")
    for each in measured:
        figures = "| rejected by the runtime | | | |"
        if not each.refused:
            figures = f"| {each.p50_ms:.2f} | {each.p95_ms:.2f} | {each.accuracy:.3f} | {each.agreement:.3f} |"
        print(f"| {each.variant} | {each.way} | {each.bytes:,} {figures}")
    for each in measured:
        if each.refused:
            print(f"{each.variant}, {each.way}: {each.refused}")
    for variant in VARIANTS:
        sizes = {each.way: each.bytes for each in measured if each.variant == variant}
        time_taken = f" and takes {ratios[variant]:.3f} of the time" if variant in ratios else ""
        print(f"{variant}: ours has {sizes['ours'] / sizes['plain']:.3f} of the bytes{time_taken}")


if __name__ == "__main__":
    sys.exit(main())

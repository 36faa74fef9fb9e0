"""Measure the largest sums of an edge model, and emulate it in half precision, before and after pooling in two steps.

    python -m benchmarks.edge.half_precision --weights FILE.h5 --backbone mobilenet_v3_small [--data DIR]

"One step" is what the converter writes: each global average pool is one MEAN. "Two steps" is what EdgeExporter writes.
Both are measured as EdgeEvaluator measures them, on more images: in float32 for the largest sum, and emulated in half
precision. Both also run in the interpreter, whose answers must not differ.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.edge import models as edge_models
from benchmarks.lib.measure import cpu_name
from edgetune.modules.contracts.signatures import EDGE
from edgetune.modules.conversion.converter import Converter, Optimize
from edgetune.modules.conversion.pooling import two_step_pools
from edgetune.modules.litert.half_precision import LARGEST, measure
from edgetune.modules.litert.interpreter import EdgeRunner, runtime
from edgetune.modules.settings.run import ModelSettings

# Of one probability, between one step and two, both in float32.
MAX_DIFFERENCE = 1e-5
# Of the largest half; the images of users are not those of the test split.
MAX_SHARE = 0.25
_BLOCK, _ROUNDS = 10, 20


def main() -> int:
    """Measure, print the tables, and return 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, metavar="FILE", help="weights of the backbone, in Keras's format")
    parser.add_argument("--backbone", default="mobilenet_v3_small")
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--size", type=int, default=224, help="image size in pixels; default: %(default)s")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="photographs as DIR/<class>/*.jpg; default: tiles of two"
    )
    parser.add_argument("--images", type=int, default=64, help="test images to measure; default: %(default)s")
    options = parser.parse_args()

    settings = ModelSettings(
        backbone=options.backbone, alpha=options.alpha, image_size=options.size, weights=options.weights
    )
    images = edge_models.from_folder(options.data, options.size) if options.data else edge_models.tiles(options.size)
    chosen = images.test[:: max(1, len(images.test) // options.images)][: options.images]
    print(f"{cpu_name()}, {runtime()}, TensorFlow {tf.__version__}; {len(chosen)} test images")
    network = edge_models.fitted(settings, images)
    with tempfile.TemporaryDirectory() as folder:
        edge_models.ours(network, images, Path(folder, "saved_model"))
        contents = {variant: _one_step(f"{folder}/saved_model", variant) for variant in ("float32", "float16")}
    holds = True
    for variant, content in contents.items():
        files, answers, runners = {"one step": content, "two steps": two_step_pools(content)}, [], []
        for name, file in files.items():
            start = time.perf_counter()
            found = measure(file, chosen)
            seconds = time.perf_counter() - start
            runners.append(EdgeRunner(file, threads=1))
            answers.append(runners[-1].probabilities(chosen))
            emulated = "not finite" if found.max_difference is None else f"off by at most {found.max_difference:.4f}"
            print(
                f"{variant}, {name}: {len(file):,} bytes; largest sum {found.largest_sum:,.0f} of {LARGEST:,.0f} "
                f"({found.operation}), largest value {found.largest_value:,.0f}; in half precision {emulated}, "
                f"{found.changed} of {found.images} in another class; {seconds / found.images:.3f} s/image"
            )
        difference = float(np.abs(answers[0] - answers[1]).max())
        # In turn and in processor time, because of other load on the machine.
        rounds = [[_milliseconds(runner, chosen[:_BLOCK]) for runner in runners] for _ in range(_ROUNDS)]
        times = statistics.median(two / one for one, two in rounds)
        print(
            f"{variant}: in the interpreter, two steps differ from one by at most {difference:.1e} and take "
            f"{times:.3f} times as long ({min(one for one, _ in rounds):.2f} ms)"
        )
        holds &= difference <= MAX_DIFFERENCE and found.finite and not found.changed
        holds &= max(found.largest_sum, found.largest_value) <= MAX_SHARE * LARGEST
    claim = f"with two steps, no sum exceeds {MAX_SHARE:.0%} of the largest half, and the answers are the same"
    print(f"{'holds' if holds else 'DOES NOT HOLD'}: {claim}")
    return int(not holds)


def _milliseconds(runner: EdgeRunner, images: np.ndarray) -> float:
    """Return the processor time of one image."""
    start = time.process_time()
    runner.probabilities(images)
    return 1000 * (time.process_time() - start) / len(images)


def _one_step(saved_model: str, variant: str) -> bytes:
    """Return a variant as the converter writes it."""
    converter = Converter.from_saved_model(saved_model, signature_keys=[EDGE])
    if variant == "float16":
        converter.optimizations = [Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


if __name__ == "__main__":
    sys.exit(main())

"""Convert the SavedModel's `edge` signature to LiteRT models.

The converter runs in a child process: on a graph that it does not support it may abort instead of raising, which must
become an error message and not end the run. One process makes all variants, because importing TensorFlow takes longer
than converting. The child reports progress by lines on standard output that begin with `_MARK`.

    python -m edgetune.modules.conversion.convert --saved_model DIR --output DIR --representative FILE.npy float32 int8

The variant `float32` is the reference. `float16` halves the file, and computes in float32 on hardware without float16
arithmetic. `dynamic` has 8-bit weights and float activations. These three pool in two steps, for accelerators that sum
in half precision: see `modules.conversion.pooling`. `int8` computes with integers only; it is made from `float32` by
`modules.conversion.quantization`, or by the converter's own calibration if the network has an operation that
`quantization` does not support.
"""

from __future__ import annotations

import argparse
import copy
import functools
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgetune.modules.contracts.signatures import EDGE
from edgetune.modules.core import child_process
from edgetune.modules.core.errors import ExportError
from edgetune.modules.core.gc_pause import gc_paused
from edgetune.modules.core.progress import report

_MARK = "edgetune: "
_NOISE = re.compile(r'Traceback|File "|\^+$|Fatal Python error|(Current )?[Tt]hread 0x|Extension modules|PLEASE submit')
_ERROR = re.compile(r"LLVM ERROR|\berror:|Error: |ERROR: |(Custom|Flex) ops: |missing attribute")


def convert(saved_model: str, variants: Sequence[str], representative: np.ndarray) -> dict[str, bytes]:
    """Convert a SavedModel to the given variants; the same arguments give the same bytes.

    Args:
        saved_model: Folder of the SavedModel, a local path or a URL that TensorFlow can read.
        variants: Names among `float32`, `float16`, `int8`, `dynamic`.
        representative: uint8 `[N, S, S, 3]`, RGB: typical input images. They calibrate `int8`, together with one image
            of all 0 and one of all 255. So the input's quantization is exactly scale 1.0 and zero point 0, which
            clients rely on that pass raw bytes and ignore both.

    Returns:
        The content of each variant's file.

    Raises:
        ExportError: The converter failed or aborted; the cause names the variant and the converter's error.
    """
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
        images = Path(folder, "representative.npy")
        np.save(images, representative)
        local = _downloaded(saved_model, Path(folder)) if "://" in saved_model else str(Path(saved_model).resolve())
        _run(["--saved_model", local, "--output", folder, "--representative", str(images), *variants], folder)
        return {variant: Path(folder, f"{variant}.tflite").read_bytes() for variant in variants}


def _downloaded(saved_model: str, folder: Path) -> str:
    """Copy a SavedModel into a local folder: a file system plugin of this process may be missing in the child."""
    from edgetune.modules.storage.filesystem import fetch

    copy = folder / "saved_model"
    fetch(saved_model, copy)
    return str(copy)


def _run(arguments: list[str], folder: str) -> None:
    log, doing = Path(folder, "log"), ""
    with (
        log.open("wb") as errors,
        child_process.start(
            "edgetune.modules.conversion.convert", *arguments, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(_MARK):
                doing = line.removeprefix(_MARK).strip()
                report(f"converting to {doing}")
    if process.returncode:
        how = child_process.ending(process.returncode)
        how = how if process.returncode > 0 else f"it was stopped by {how}"
        said = last_word(log.read_text(encoding="utf-8", errors="replace")) or "it printed nothing"
        raise ExportError(
            f"edge variant {doing or '(none yet)'}: the LiteRT converter failed ({how}): {said}",
            "the model holds an operation that LiteRT cannot express in this variant: change the model, "
            "or leave the variant out of edge.variants",
        )


def last_word(log: str) -> str:
    """Return the last line of a log that looks like an error, else its last line; traceback frames are skipped."""
    lines = [line.strip() for line in log.splitlines()]
    lines = [line for line in lines if line and not _NOISE.match(line)]
    errors = [line for line in lines if _ERROR.search(line)] or lines
    return errors[-1][:500] if errors else ""


def _convert_one(saved_model: str, variant: str, representative: np.ndarray) -> bytes:
    """Convert in this process, which may abort."""
    import tensorflow as tf

    from edgetune.modules.conversion.converter import Optimize
    from edgetune.modules.conversion.pooling import two_step_pools
    from edgetune.modules.litert.graph import UnsupportedOperation

    if variant == "float32":
        return two_step_pools(_float32(saved_model))
    if variant == "int8":
        # Calibrate with a black and a white image too, so that every tensor covers the full range of the input, 0..255.
        extremes = [np.zeros_like(representative[:1]), np.full_like(representative[:1], 255)]
        images = np.concatenate([*extremes, representative])
        try:
            return _int8(_float32(saved_model), images)
        except UnsupportedOperation as unsupported:
            print(f"{_MARK}{variant}, calibrated by the converter itself, because of {unsupported}", flush=True)
            return _int8_calibrated(_converter(saved_model), images)
    converter = _converter(saved_model)
    converter.optimizations = [Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return two_step_pools(bytes(converter.convert()))


@functools.cache  # `int8` is made from the `float32` that is written, with its pools in one step
def _float32(saved_model: str) -> bytes:
    return bytes(_converter(saved_model).convert())


def _converter(saved_model: str) -> Any:
    """Return a converter with default options."""
    from edgetune.modules.conversion.converter import TargetSpec

    converter = copy.copy(_read(saved_model))
    converter.target_spec = TargetSpec()
    return converter


@functools.cache  # reading takes longer than converting
def _read(saved_model: str) -> Any:
    from edgetune.modules.conversion.converter import Converter

    # One signature only: each becomes a subgraph, and MediaPipe rejects a file with two.
    return Converter.from_saved_model(saved_model, signature_keys=[EDGE])


def _int8(float32: bytes, images: np.ndarray) -> bytes:
    """Make the int8 variant from the float32 one, with ranges and biases from `modules.conversion.quantization`."""
    import tensorflow as tf

    from edgetune.modules.contracts.signatures import IMAGE, PROBABILITIES
    from edgetune.modules.conversion.converter import Converter, Optimize
    from edgetune.modules.conversion.quantization import quantize
    from edgetune.modules.litert.graph import read_network

    network = read_network(float32)
    quantized = quantize(network, images)

    def edge(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {PROBABILITIES: quantized.run(image)}

    signature = [tf.TensorSpec(network.shapes[network.image], tf.float32, name=IMAGE)]
    function = tf.function(edge, signature, autograph=False)
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
        tf.saved_model.save(tf.Module(), folder, signatures={EDGE: function})
        converter = Converter.from_saved_model(folder, signature_keys=[EDGE])
        converter.optimizations = [Optimize.DEFAULT]
        _set_types(converter)
        return bytes(converter.convert())


def _int8_calibrated(converter: Any, images: np.ndarray) -> bytes:
    """Make the int8 variant with the converter's own calibration."""
    from edgetune.modules.conversion.converter import OpsSet, Optimize

    def singles() -> Iterator[list[np.ndarray]]:
        for image in images:
            yield [image[np.newaxis].astype(np.float32)]

    converter.optimizations = [Optimize.DEFAULT]
    converter.representative_dataset = singles
    converter.target_spec.supported_ops = [OpsSet.TFLITE_BUILTINS_INT8]
    _set_types(converter)
    return bytes(converter.convert())


def _set_types(converter: Any) -> None:
    """Set uint8 input and float output, which all clients support; some reject int8 inputs, others misread them."""
    import tensorflow as tf

    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.float32


def main(arguments: list[str] | None = None) -> int:
    """Convert all variants; entry point of the child process."""
    parser = argparse.ArgumentParser(prog="python -m edgetune.modules.conversion.convert")
    parser.add_argument("--saved_model", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--representative", type=Path, required=True)
    parser.add_argument("variants", nargs="+")
    options = parser.parse_args(arguments)
    with gc_paused():
        import tensorflow as tf

    # Sums in another order differ in the last bit, and so would the file.
    tf.config.experimental.enable_op_determinism()
    representative = np.load(options.representative, allow_pickle=False)
    for variant in options.variants:
        print(f"{_MARK}{variant}", flush=True)
        content = _convert_one(options.saved_model, variant, representative)
        (options.output / f"{variant}.tflite").write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""From the SavedModel's `edge` signature to LiteRT models.

The converter runs in a process of its own: on a graph that it does not understand it aborts instead of raising, and
that must be an error message, not the end of the run. One process makes all variants, because importing TensorFlow
costs more than converting. It reports by lines on its standard output that begin with `_MARK`.

    python -m edgetune.modules.conversion.convert --saved_model DIR --output DIR --representative FILE.npy float32 int8

Of the variants, `float32` is the reference. `float16` halves the file and computes in float32 where the hardware has
nothing better. `dynamic` has 8-bit weights and float activations. `int8` has no float inside at all; it is made of
`float32` by `modules.conversion.quantization`, and by the converter's own recipe if the
network has an operation that `quantization` does not support.
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
_TELLING = re.compile(r"LLVM ERROR|\berror:|Error: |ERROR: |(Custom|Flex) ops: |missing attribute")


def convert(saved_model: str, variants: Sequence[str], representative: np.ndarray) -> dict[str, bytes]:
    """Converts a SavedModel.

    The same SavedModel and images give the same bytes again.

    Args:
        saved_model: Folder of the SavedModel, local or a URL that TensorFlow reads.
        variants: Of `float32`, `float16`, `int8`, `dynamic`.
        representative: uint8 `[N, S, S, 3]`, RGB: images that are typical of the model's input. They calibrate
            `int8`, together with one image all 0 and one all 255. The input's quantization is exactly scale 1.0 and
            zero point 0, as clients need that hand over raw bytes and never look at either.

    Returns:
        The content of each variant's file.

    Raises:
        ExportError: The converter failed or aborted; the cause names the variant and the converter's last word.
    """
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
        images = Path(folder, "representative.npy")
        np.save(images, representative)
        where = _fetched(saved_model, Path(folder)) if "://" in saved_model else str(Path(saved_model).resolve())
        _run(["--saved_model", where, "--output", folder, "--representative", str(images), *variants], folder)
        return {variant: Path(folder, f"{variant}.tflite").read_bytes() for variant in variants}


def _fetched(saved_model: str, folder: Path) -> str:
    """A local copy: not every file system that this process knows is known to another one."""
    import tensorflow as tf

    from edgetune.modules.storage.filesystem import files_of

    copy = folder / "saved_model"
    for name in files_of(saved_model):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        tf.io.gfile.copy(f"{saved_model}/{name}", str(copy / name))
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
        said = last_word(log.read_text(encoding="utf-8", errors="replace")) or "it said nothing"
        raise ExportError(
            f"edge variant {doing or 'none begun'}: the LiteRT converter failed ({how}): {said}",
            "the model holds an operation that LiteRT cannot express in this variant: change the model, "
            "or leave the variant out of edge.variants",
        )


def last_word(log: str) -> str:
    """The last line of a log that tells what went wrong, or its last line at all; without traceback frames."""
    lines = [line.strip() for line in log.splitlines()]
    lines = [line for line in lines if line and not _NOISE.match(line)]
    telling = [line for line in lines if _TELLING.search(line)] or lines
    return telling[-1][:500] if telling else ""


def _convert_one(saved_model: str, variant: str, representative: np.ndarray) -> bytes:
    """Converts in this process, which may abort."""
    import tensorflow as tf

    from edgetune.modules.conversion.converter import Optimize
    from edgetune.modules.litert.graph import UnsupportedOperation

    if variant == "float32":
        return _float32(saved_model)
    if variant == "int8":
        # An image of nothing and one of all light belong to what calibrates: the range of the input, 0 to 255, must
        # be that of every tensor behind it.
        extremes = [np.zeros_like(representative[:1]), np.full_like(representative[:1], 255)]
        images = np.concatenate([*extremes, representative])
        try:
            return _int8(_float32(saved_model), images)
        except UnsupportedOperation as unknown:
            print(f"{_MARK}{variant}, calibrated by the converter itself, because of {unknown}", flush=True)
            return _int8_calibrated(_converter(saved_model), images)
    converter = _converter(saved_model)
    converter.optimizations = [Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


@functools.cache  # `int8` is made of the very `float32` that is delivered
def _float32(saved_model: str) -> bytes:
    return bytes(_converter(saved_model).convert())


def _converter(saved_model: str) -> Any:
    """A converter whose options are not set yet."""
    from edgetune.modules.conversion.converter import TargetSpec

    converter = copy.copy(_read(saved_model))
    converter.target_spec = TargetSpec()
    return converter


@functools.cache  # to read takes longer than to convert
def _read(saved_model: str) -> Any:
    from edgetune.modules.conversion.converter import Converter

    # One signature only: each becomes a subgraph, and MediaPipe refuses a file with two.
    return Converter.from_saved_model(saved_model, signature_keys=[EDGE])


def _int8(float32: bytes, images: np.ndarray) -> bytes:
    """The int8 variant of a float32 one, with ranges and biases of `modules.conversion.quantization`."""
    import tensorflow as tf

    from edgetune.modules.contracts.signatures import IMAGE, PROBABILITIES
    from edgetune.modules.conversion.converter import Converter, Optimize
    from edgetune.modules.conversion.quantization import quantize
    from edgetune.modules.litert.graph import read_network

    network = read_network(float32)
    quantized = quantize(network, images)

    def edge(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {PROBABILITIES: quantized.run(image)}

    takes = [tf.TensorSpec(network.shapes[network.image], tf.float32, name=IMAGE)]
    function = tf.function(edge, takes, autograph=False)
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
        tf.saved_model.save(tf.Module(), folder, signatures={EDGE: function})
        converter = Converter.from_saved_model(folder, signature_keys=[EDGE])
        converter.optimizations = [Optimize.DEFAULT]
        _set_types(converter)
        return bytes(converter.convert())


def _int8_calibrated(converter: Any, images: np.ndarray) -> bytes:
    """The int8 variant as the converter makes it by itself."""
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
    """uint8 in, float out is what every client takes: int8 inputs are refused by some and misread by others."""
    import tensorflow as tf

    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.float32


def main(arguments: list[str] | None = None) -> int:
    """The process that converts."""
    parser = argparse.ArgumentParser(prog="python -m edgetune.modules.conversion.convert")
    parser.add_argument("--saved_model", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--representative", type=Path, required=True)
    parser.add_argument("variants", nargs="+")
    options = parser.parse_args(arguments)
    with gc_paused():
        import tensorflow as tf

    # A sum in another order has another last bit, and that would be another file.
    tf.config.experimental.enable_op_determinism()
    representative = np.load(options.representative)
    for variant in options.variants:
        print(f"{_MARK}{variant}", flush=True)
        content = _convert_one(options.saved_model, variant, representative)
        (options.output / f"{variant}.tflite").write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Measure what reading photographs in the graph costs, and whether a model answers a photograph however it is stored.

    python -m benchmarks.serving.reading [--data DIR (--model SAVED_MODEL | --weights FILE)]

The costs are those of the same classifier with the graph's reading and with plain decoding instead: nodes, tracing,
loading, and the first and a later answer. Processor seconds, medians of several rounds in one process, in turn.

The twins are of the photographs that `benchmarks.lib.photographs` holds out for the test: the same pixels in all eight
orientations as JPEG and PNG, with an alpha channel, and as Display P3; with a palette, and enlarged to twice
`--max-side`. Each is compared with the answer to the same pixels in an upright PNG without any of that; enlarged ones
with what ingest stores of them, and with a copy that Pillow has scaled down to `--max-side` (Lanczos). Fraction of
equal classes, and mean and largest change of a probability. With `--weights`, ImageNet weights of MobileNetV2 without
its top, the model is a head trained on the photographs for training; its accuracy is printed.
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageCms

from benchmarks.lib.measure import cpu_name
from benchmarks.lib.photographs import Photograph, photographs
from edgetune.modules.contracts.signatures import IMAGE_BYTES, PROBABILITIES, SERVING
from edgetune.modules.images import graph_read
from edgetune.modules.images.decode import decode, decode_to_raw, from_raw
from edgetune.modules.images.reader import read_image
from edgetune.modules.images.reading import Reading
from edgetune.modules.models.classifier import build_classifier, pool
from edgetune.modules.settings.run import ModelSettings

_SIZE, _BATCH, _EPOCHS = 224, 32, 30
_ORIENTATION = 0x0112
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}

_UPRIGHT = {**_STORED, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}


def _file(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _twins(image: Image.Image, max_side: int, p3: bytes | None) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield the kind of a twin, its file, and the file that it has to agree with."""
    plain = _file(image, "PNG")
    jpeg = {"quality": 95, "subsampling": 0}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[_ORIENTATION] = orientation
        stored = image.transpose(_STORED[orientation]) if orientation in _STORED else image
        yield f"PNG, orientation {orientation}", _file(stored, "PNG", exif=exif), plain
        turned = _file(stored, "JPEG", exif=exif, **jpeg)  # its loss is another one than that of an upright JPEG
        decoded = Image.fromarray(tf.io.decode_jpeg(turned, 3).numpy())
        upright = decoded.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else decoded
        yield f"JPEG, orientation {orientation}", turned, _file(upright, "PNG")
    hidden = image.convert("RGBA")
    mask = np.full((image.height, image.width), 255, np.uint8)
    mask[:, : image.width // 4] = 0
    hidden.putalpha(Image.fromarray(mask))
    shown = Image.new("RGB", image.size, "white")
    shown.paste(image, mask=Image.fromarray(mask))
    yield "RGBA over white", _file(hidden, "PNG"), _file(shown, "PNG")
    palette = image.quantize(256)
    yield "palette", _file(palette, "PNG"), _file(palette.convert("RGB"), "PNG")
    if p3:
        source, target = ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(p3))
        wide = ImageCms.profileToProfile(image, source, target)
        assert wide is not None
        yield "Display P3", _file(wide, "PNG", icc_profile=p3), plain
    scale = 2 * max_side / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    large = image.resize(size, Image.Resampling.BICUBIC)
    small = large.resize((round(size[0] / 2), round(size[1] / 2)), Image.Resampling.LANCZOS)
    for kind, options in (("JPEG", jpeg), ("PNG", {})):
        file = _file(large, kind, **options)
        yield f"{kind} above max_side, as stored", file, read_image(file, Reading(max_side=max_side)).encoded
        yield f"{kind} above max_side, scaled by Pillow", file, _file(small, "PNG")


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def _plainly(encoded: tf.Tensor) -> tf.Tensor:
    """Decode as a graph does that knows neither orientation nor color: uint8 `[N, S, S, 3]`."""

    def one(content: tf.Tensor) -> tf.Tensor:
        pixels = tf.io.decode_image(content, channels=3, expand_animations=False)
        resized = tf.image.resize(pixels, [_SIZE, _SIZE], method="bilinear", antialias=True)
        return tf.ensure_shape(tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8), [_SIZE, _SIZE, 3])

    return tf.map_fn(one, encoded, fn_output_signature=tf.TensorSpec([_SIZE, _SIZE, 3], tf.uint8))


def _save(model: keras.Model | None, read: Callable[[tf.Tensor], tf.Tensor], folder: str) -> None:
    """Write a SavedModel that reads images; without a model it returns the means of their channels."""

    def answer(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.cast(read(image_bytes), tf.float32)
        return {PROBABILITIES: model(pixels, training=False) if model else tf.reduce_mean(pixels, axis=[1, 2])}

    root, spec = tf.Module(), tf.TensorSpec([None], tf.string, name=IMAGE_BYTES)
    root.variables_of_model = [variable.value for variable in model.variables] if model else []
    tf.saved_model.save(root, folder, signatures={SERVING: tf.function(answer, [spec], autograph=False)})


def _reading(max_side: int) -> Callable[[tf.Tensor], tf.Tensor]:
    return lambda encoded: from_raw(decode_to_raw(encoded, _SIZE, Reading(max_side=max_side)), _SIZE)


def _costs(max_side: int, rounds: int) -> None:
    image = tf.constant([_file(Image.new("RGB", (500, 375), "tan"), "JPEG")])
    seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for _ in range(rounds):
        graph_read._traced.cache_clear()
        seconds["trace the reading"]["graph"].append(_seconds(graph_read._function)[0])
        for way, read in (("plain", _plainly), ("graph", _reading(max_side))):
            with tempfile.TemporaryDirectory() as folder:
                seconds["export"][way].append(_seconds(partial(_save, None, read, folder))[0])
                spent, loaded = _seconds(partial(tf.saved_model.load, folder))
                seconds["load"][way].append(spent)
                for answer in ("first answer", "later answer"):
                    spent, _ = _seconds(partial(loaded.signatures[SERVING], **{IMAGE_BYTES: image}))
                    seconds[answer][way].append(spent)
    graph = graph_read._function().graph.as_graph_def()
    nodes = len(graph.node) + sum(len(function.node_def) for function in graph.library.function)
    print(f"{cpu_name()}; {nodes} nodes in {len(graph.library.function)} functions\n")
    print("| processor seconds | plain | graph |\n|-|-|-|")
    for name, ways in seconds.items():
        plain, full = (f"{statistics.median(ways[way]):.3f}" if way in ways else "" for way in ("plain", "graph"))
        print(f"| {name} | {plain} | {full} |")


def _trained(data: Path, weights: Path, folder: str, max_side: int) -> None:
    """Train a head on pooled features of the photographs for training, and write the SavedModel."""
    settings = ModelSettings(backbone="mobilenet_v2", weights=str(weights), image_size=_SIZE)
    found = photographs(data)
    network = build_classifier(settings, len({photo.label for photo in found["train"]}), 1)
    features = keras.Model(network.backbone.input, pool(network.backbone.output))

    def pixels(photos: list[Photograph]) -> np.ndarray:
        reading = Reading(max_side=max_side)
        return np.stack([decode(tf.constant(photo.path.read_bytes()), _SIZE, reading).numpy() for photo in photos])

    pooled = features.predict(pixels(found["train"]).astype(np.float32), batch_size=_BATCH, verbose=0)
    network.head.compile("adam", "sparse_categorical_crossentropy")
    labels = np.array([photo.label for photo in found["train"]])
    network.head.fit(pooled, labels, epochs=_EPOCHS, batch_size=_BATCH, verbose=0)
    answers = network.model.predict(pixels(found["test"]).astype(np.float32), batch_size=_BATCH, verbose=0)
    right = answers.argmax(axis=1) == [photo.label for photo in found["test"]]
    print(f"\nhead trained on {len(labels)} photographs: accuracy {right.mean():.1%} on {len(right)}")
    _save(network.model, _reading(max_side), folder)


def _compare(data: Path, model: str, max_side: int, most: int, p3: bytes | None) -> None:
    signature = tf.saved_model.load(model).signatures[SERVING]

    def ask(files: list[bytes]) -> dict[bytes, np.ndarray]:
        different = list(dict.fromkeys(files))
        answers = np.asarray(signature(**{IMAGE_BYTES: tf.constant(different)})[PROBABILITIES])
        return dict(zip(different, answers, strict=True))

    found: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    held_out = photographs(data)["test"]
    for photo in held_out[:: max(1, len(held_out) // most)]:
        with Image.open(photo.path) as image:
            upright = image.convert("RGB")
        upright.info.clear()  # or Pillow would write its profile into some of the files
        twins = list(_twins(upright, max_side, p3))
        answers = ask([file for _, *files in twins for file in files])
        for kind, file, reference in twins:
            answer, expected = answers[file], answers[reference]
            found[kind].append((bool(answer.argmax() == expected.argmax()), float(np.abs(answer - expected).max())))
    print("\n| kind | images | same class | mean change | largest change |\n|-|-|-|-|-|")
    for kind, results in found.items():
        same, changes = zip(*results, strict=True)
        print(f"| {kind} | {len(results)} | {np.mean(same):.1%} | {np.mean(changes):.4f} | {max(changes):.4f} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of photographs, DIR/<class>/*.jpg")
    parser.add_argument("--model", help="folder of the SavedModel")
    parser.add_argument("--weights", type=Path, help="weights of MobileNetV2, to train a model")
    parser.add_argument("--max-side", type=int, default=640, help="data.max_side of the model's run; %(default)s")
    parser.add_argument("--images", type=int, default=70, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="of measuring costs; default: %(default)s")
    parser.add_argument("--p3", type=Path, help="ICC file of Display P3")
    options = parser.parse_args()
    if options.rounds:
        _costs(options.max_side, options.rounds)
    if options.data:
        with tempfile.TemporaryDirectory() as folder:
            if not options.model:
                _trained(options.data, options.weights, folder, options.max_side)
            p3 = options.p3.read_bytes() if options.p3 else None
            _compare(options.data, options.model or folder, options.max_side, options.images, p3)


if __name__ == "__main__":
    main()

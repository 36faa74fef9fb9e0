"""Ask a SavedModel for photographs and their twins, stored in other ways, and compare the answers.

    python -m benchmarks.serving.reading --data DIR --model SAVED_MODEL

The twins are of the photographs that `benchmarks.lib.photographs` holds out for the test: the same pixels in all eight
orientations as JPEG and PNG, with an alpha channel, and as Display P3; with a palette, and enlarged to twice
`--max-side`. Each is compared with the answer to the same pixels in an upright PNG without any of that: fraction of
equal classes, and largest change of a probability.
"""

from __future__ import annotations

import argparse
import io
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageCms

from benchmarks.lib.photographs import photographs
from edgetune.modules.contracts.signatures import IMAGE_BYTES, PROBABILITIES, SERVING

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
        yield f"JPEG, orientation {orientation}", _file(stored, "JPEG", exif=exif, **jpeg), _file(image, "JPEG", **jpeg)
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
    yield "JPEG above max_side", _file(large, "JPEG", **jpeg), _file(small, "PNG")
    yield "PNG above max_side", _file(large, "PNG"), _file(small, "PNG")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs, DIR/<class>/*.jpg")
    parser.add_argument("--model", required=True, help="folder of the SavedModel")
    parser.add_argument("--max-side", type=int, default=640, help="data.max_side of its run; default: %(default)s")
    parser.add_argument("--images", type=int, default=70, help="default: %(default)s")
    parser.add_argument("--p3", type=Path, help="ICC file of Display P3")
    options = parser.parse_args()
    signature = tf.saved_model.load(options.model).signatures[SERVING]

    def ask(files: list[bytes]) -> np.ndarray:
        return np.asarray(signature(**{IMAGE_BYTES: tf.constant(files)})[PROBABILITIES])

    found: dict[str, list[tuple[bool, float]]] = defaultdict(list)
    held_out = photographs(options.data)["test"]
    p3 = options.p3.read_bytes() if options.p3 else None
    for photo in held_out[:: max(1, len(held_out) // options.images)]:
        with Image.open(photo.path) as image:
            kinds, files, references = zip(*_twins(image.convert("RGB"), options.max_side, p3), strict=True)
        for kind, answer, expected in zip(kinds, ask(list(files)), ask(list(references)), strict=True):
            change = float(np.abs(answer - expected).max())
            found[kind].append((bool(answer.argmax() == expected.argmax()), change))
    print("| kind | images | same class | largest change of a probability |\n|-|-|-|-|")
    for kind, answers in found.items():
        same, changes = zip(*answers, strict=True)
        print(f"| {kind} | {len(answers)} | {np.mean(same):.1%} | {max(changes):.4f} |")


if __name__ == "__main__":
    main()

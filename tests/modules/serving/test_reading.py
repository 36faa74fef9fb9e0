"""The exported signature reads photographs of every kind as ingest and `edgetune predict` do, or says what to send."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from edgetune.modules.bundle.predict import Classifier
from edgetune.modules.contracts.signatures import EXAMPLES, IMAGE_BYTES, LABEL, PROBABILITIES, SERVING
from edgetune.modules.images.decode import decode_to_raw, from_raw
from edgetune.modules.images.reader import read_image
from tests.fakes.tensorflow_serving import MESSAGES, Server
from tests.helpers import icc_profiles
from tests.tiny import arrows

ORIENTATION = 0x0112
# Stored so, an image stands upright in the orientation.
STORED = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.transpose(1, 0, 2),
    6: np.rot90,
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
LITTLE = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"
BIG = b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


def encoded(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(image)) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int, kind: str, **options: object) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(STORED[orientation](arrows.pixels()), kind, exif=exif, **options)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(pixels: np.ndarray, depth: int, passes: tuple[tuple[int, int, int, int], ...] = ()) -> bytes:
    """Return an RGB PNG with 8 or 16 bits, in one pass or in those of its interlacing: Pillow writes neither."""
    height, width, _ = pixels.shape
    rows = b""
    for top, left, down, right in passes or ((0, 0, 1, 1),):
        part = pixels[top::down, left::right].astype(">u2" if depth == 16 else np.uint8)
        rows += b"".join(b"\0" + row.tobytes() for row in part) if part.size else b""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, len(passes) > 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def alpha(mode: str) -> Image.Image:
    """Return the arrow with a transparent half, under which the colours say something else."""
    image = Image.fromarray(arrows.pixels())
    mask = np.zeros((image.height, image.width), np.uint8)
    mask[: image.height // 2] = np.linspace(255, 40, image.width)
    image.putalpha(Image.fromarray(mask))
    return image.convert(mode)


def features() -> dict[str, bytes]:
    """Return files that the server reads, by what is special about them."""
    upright = arrows.pixels()
    image, deep, large = (
        Image.fromarray(upright),
        upright.astype(np.uint16) * 257,
        Image.fromarray(arrows.pixels(190, 150)),
    )
    xmp = PngInfo()
    xmp.add_itxt("XML:com.adobe.xmp", (XMP % 6).decode())
    side = STORED[6](upright)
    return {
        "RGBA": encoded(alpha("RGBA"), "PNG"),
        "LA": encoded(alpha("LA"), "PNG"),
        "palette": encoded(image.quantize(32), "PNG"),
        "palette with alpha": encoded(image.quantize(32), "PNG", transparency=bytes(range(0, 256, 8))),
        "a transparent color": encoded(image, "PNG", transparency=tuple(upright[0, 0].tolist())),
        "grey PNG": encoded(image.convert("L"), "PNG"),
        "grey JPEG": encoded(image.convert("L"), "JPEG"),
        "black and white": encoded(image.convert("1"), "PNG"),
        "16-bit grey": encoded(deep[..., 0], "PNG"),
        "16-bit RGB": png(deep, 16),
        "interlaced": png(upright, 8, ADAM7),
        "progressive": encoded(image, "JPEG", progressive=True),
        "CMYK": encoded(image.convert("CMYK"), "JPEG"),
        "P3 JPEG": encoded(image, "JPEG", icc_profile=icc_profiles.display_p3()),
        "P3 RGBA": encoded(alpha("RGBA"), "PNG", icc_profile=icc_profiles.display_p3()),
        "Adobe RGB": encoded(image, "JPEG", icc_profile=icc_profiles.adobe_rgb()),
        "sRGB profile": encoded(image, "JPEG", icc_profile=icc_profiles.srgb()),
        "grey profile": encoded(image.convert("L"), "PNG", icc_profile=icc_profiles.linear_grey()),
        "XMP in JPEG": encoded(side, "JPEG", xmp=XMP % 6),
        "XMP in PNG": encoded(side, "PNG", pnginfo=xmp),
        "animated": encoded(image, "PNG", save_all=True, append_images=[image.rotate(180)]),
        "several images": encoded(image, "MPO", save_all=True, append_images=[image.rotate(180)]),
        "large JPEG": encoded(large, "JPEG"),
        "large PNG": encoded(large, "PNG"),
        "large turned": encoded(large.rotate(90, expand=True), "JPEG", exif=LITTLE),
        "Exif in Motorola's order": encoded(side, "JPEG", exif=BIG),
    }  # fmt: skip


SEND = "send JPEG or PNG"
REFUSED = {
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", f"is a HEIC image: {SEND}"),
    "AVIF": (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", f"is an AVIF image: {SEND}"),
    "WebP": (encoded(arrows.pixels(), "WEBP"), f"is a WebP image: {SEND}"),
    "GIF": (encoded(arrows.pixels(), "GIF"), f"is a GIF image: {SEND}"),
    "BMP": (encoded(arrows.pixels(), "BMP"), f"is a BMP image: {SEND}"),
    "TIFF": (encoded(arrows.pixels(), "TIFF"), f"is a TIFF image: {SEND}"),
    "PDF": (b"%PDF-1.7", f"is a PDF document: {SEND}"),
    "web page": (b"\n<!DOCTYPE html><html>404", f"is a web page: {SEND}"),
    "text": (b"some notes \xff\xfe", f"is not an image that can be read: {SEND}"),
    "nothing": (b"", f"is empty: {SEND}"),
    "CMYK with a profile": (
        encoded(Image.new("CMYK", (9, 9)), "JPEG", icc_profile=icc_profiles.cyan_is_black()),
        "is CMYK with a color profile: send it as sRGB",
    ),
    "12 bits": (
        b"\xff\xd8\xff\xc1\0\x0b\x0c\0\x08\0\x08\1\1\x11\0\xff\xda\0\x08\1\1\0\0\x3f\0\0\xff\xd9",
        "is a JPEG with more than 8 bits a channel: send one with 8",
    ),
    "too large": (encoded(Image.new("L", (201, 200)), "PNG"), "has more than 40000 pixels: send fewer"),
}


@pytest.fixture(scope="module")
def signature():
    loaded = tf.saved_model.load(arrows.saved_model())
    yield loaded.signatures[SERVING]
    del loaded


class Predict(Classifier):
    """What `edgetune predict` reads, answered by the network that the SavedModel has."""

    def __init__(self) -> None:
        self.image_size, self._reading = arrows.SIZE, arrows.READING
        network = arrows.net()
        self._runner = SimpleNamespace(probabilities=lambda images: network(images.astype(np.float32)).numpy())


@pytest.fixture(scope="module")
def classifier() -> Predict:
    return Predict()


def served(signature, content: bytes) -> np.ndarray:
    return signature(**{IMAGE_BYTES: tf.constant([content])})[PROBABILITIES].numpy()[0]


@tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
def transformed(stored: tf.Tensor) -> tf.Tensor:
    return decode_to_raw(stored, arrows.SIZE, arrows.READING)


def trained(content: bytes) -> np.ndarray:
    """Return the answer to what training saw: ingest's file through Transform's reading."""
    stored = read_image(content, arrows.READING).encoded
    pixels = from_raw(transformed(tf.constant([stored])), arrows.SIZE)
    return arrows.net()(tf.cast(pixels, tf.float32)).numpy()[0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_turned_image_gets_the_answer_of_its_upright_twin(signature, classifier, orientation, kind):
    content = turned(orientation, kind, **({"quality": 98, "subsampling": 0} if kind == "JPEG" else {}))
    found = served(signature, content)
    assert arrows.LABELS[found.argmax()] == "up" and found.max() > 0.6
    upright = served(signature, turned(1, kind, **({"quality": 98, "subsampling": 0} if kind == "JPEG" else {})))
    np.testing.assert_allclose(found, upright, atol=1e-3 if kind == "PNG" else 5e-3)
    np.testing.assert_allclose(found, trained(content), atol=1e-3)
    np.testing.assert_allclose(found, classifier.classify(content), atol=1e-3)


@pytest.mark.parametrize("name", features())
def test_an_image_of_every_kind_gets_the_same_answer_everywhere(signature, classifier, name):
    content = features()[name]
    found = served(signature, content)
    np.testing.assert_allclose(found, trained(content), atol=1e-3)
    np.testing.assert_allclose(found, classifier.classify(content), atol=1e-3)
    if "trans" not in name and "alpha" not in name and not name.endswith(("A", "RGBA")):
        assert arrows.LABELS[found.argmax()] == "up"


def test_transparency_shows_the_runs_background(signature):
    shown = Image.new("RGBA", (48, 40), (*arrows.READING.background, 255))
    shown.alpha_composite(alpha("RGBA"))
    found = served(signature, encoded(alpha("RGBA"), "PNG"))
    np.testing.assert_allclose(found, served(signature, encoded(shown.convert("RGB"), "PNG")), atol=2e-3)
    under = served(signature, encoded(alpha("RGBA").convert("RGB"), "PNG"))
    assert np.abs(found - under).max() > 0.1  # it matters


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_graph_cannot_read_is_refused_with_its_place_and_what_to_send(signature, name):
    content, sentence = REFUSED[name]
    batch = [turned(6, "PNG"), turned(3, "JPEG"), content, turned(1, "PNG")]
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"image 3 of 4 {sentence}"):
        signature(**{IMAGE_BYTES: tf.constant(batch)})


def test_a_damaged_image_is_named_by_its_place(signature):
    noise = np.random.default_rng(1).integers(0, 256, (60, 60, 3), np.uint8)
    for kind in ("JPEG", "PNG"):
        cut = encoded(noise, kind)
        with pytest.raises(tf.errors.InvalidArgumentError, match="image 2 of 3 cannot be decoded: its data is damaged"):
            signature(**{IMAGE_BYTES: tf.constant([turned(6, "PNG"), cut[: len(cut) // 2], turned(1, "JPEG")])})


def test_an_empty_batch_gets_an_empty_answer(signature):
    assert signature(**{IMAGE_BYTES: tf.constant([], tf.string)})[PROBABILITIES].shape == (0, len(arrows.LABELS))


def test_requests_of_the_documentation_get_the_signatures_answer_in_a_server(signature):
    content = turned(6, "JPEG")
    expected = served(signature, content)
    text = base64.b64encode(content).decode()
    with Server(arrows.saved_model()) as server:
        [row] = server.rest(json.loads(f'{{"instances": [{{"b64": "{text}"}}]}}'))["predictions"]
        assert row[LABEL] == "up"
        np.testing.assert_allclose(row[PROBABILITIES], expected, atol=1e-5)
        columns = server.rest({"signature_name": SERVING, "inputs": {IMAGE_BYTES: [{"b64": text}] * 2}})["outputs"]
        np.testing.assert_allclose(columns[PROBABILITIES], [expected] * 2, atol=1e-5)
        bad = base64.b64encode(REFUSED["WebP"][0]).decode()
        answer = server.rest({"instances": [{"b64": text}, {"b64": bad}]})
        assert f"image 2 of 2 is a WebP image: {SEND}" in answer["error"]

        example = tf.train.Example()
        example.features.feature["image"].bytes_list.value.append(content)
        request = MESSAGES["PredictRequest"]()
        request.model_spec.name, request.model_spec.signature_name = "birds", EXAMPLES
        request.inputs["examples"].ParseFromString(
            tf.make_tensor_proto([example.SerializeToString()]).SerializeToString()
        )
        response = MESSAGES["PredictResponse"].FromString(server.grpc(request.SerializeToString()))
        values = tf.make_tensor_proto([]).FromString(response.outputs[PROBABILITIES].SerializeToString())
        np.testing.assert_allclose(tf.make_ndarray(values), [expected], atol=1e-5)

"""Untrusted image files: which keep their bytes, which are encoded again, and which are refused with which message."""

from __future__ import annotations

import contextlib
import io
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from PIL import EpsImagePlugin, Image

from edgetune.modules.images import decode as images
from edgetune.modules.images import pillow_read, reader
from edgetune.modules.images.reader import ReadImage, Unusable
from edgetune.modules.images.reading import Reading
from tests.helpers import camera_files, nasty_images, photographs
from tests.programs.fuzz_seeds import generated

LIMIT = 10_000_000
ORIENTATION = 0x0112

# Of EDGETUNE_TEST_DATA/nasty: everything that is no photograph in a known format, or is damaged or far too large.
REFUSED = {
    "10ct_32bit_128.tiff": "floating-point pixels",
    "16bit.cropped.tif": "its values of 16 bits are all below 16384",
    "README.md": "not an image",
    "broken_data_stream.png": "damaged",
    "cloudy1.jpg": "a Git LFS pointer, not the image itself: run `git lfs pull`",
    "decompression_bomb.gif": "more pixels",
    "empty.heic": "the file is empty",
    "i_trns.png": "its values of 16 bits are all below 16384",
    "pil123p.png": "it states other colors than those of sRGB",
    "png_decompression_dos.png": "damaged",
    "reallybig.bmp": "more pixels",
    "test-card-lossless.jp2": "JPEG 2000, which is not supported: save it as JPEG or PNG",
    "ultrahdr.jpg": "damaged",
}
HEIC = "pug.heic"


def read_image(content: bytes, *options: object, **named: object) -> ReadImage:
    return reader.read_image(content, Reading(*options, **named))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height: int = 6, width: int = 9, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def decoded(read: ReadImage) -> np.ndarray:
    """Return the pixels that the exported graph reads."""
    pixels = reader._by_graph(read.encoded, Reading(LIMIT))
    assert pixels is not None
    return pixels


def refusal(content: bytes, max_pixels: int = LIMIT) -> str:
    with pytest.raises(Unusable) as caught:
        read_image(content, max_pixels)
    return str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("channels", [3, 1])
def test_an_upright_rgb_or_grey_jpeg_or_png_keeps_its_bytes(kind, channels):
    image = Image.fromarray(noise(channels=channels))
    exif = Image.Exif()
    exif[ORIENTATION] = 1
    for content in (encoded(image, kind), encoded(image, kind, exif=exif)):
        read = read_image(content, LIMIT)
        assert read.encoded == content
        assert (read.width, read.height) == (9, 6)


UPRIGHT = {
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).transpose(1, 0, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_turned_image_keeps_its_bytes_and_is_read_upright(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = noise()
    expected = UPRIGHT[orientation](stored)
    content = encoded(Image.fromarray(stored), "PNG", exif=exif)
    png = read_image(content, LIMIT)
    assert png.encoded == content
    np.testing.assert_array_equal(decoded(png), expected)
    assert (png.height, png.width) == expected.shape[:2]
    assert png.digest == read_image(encoded(Image.fromarray(np.ascontiguousarray(expected)), "PNG"), LIMIT).digest

    smooth = Image.fromarray(np.kron(stored, np.ones((16, 16, 1), np.uint8)))
    upright = encoded(smooth, "JPEG", quality=95, subsampling=0)
    turned = encoded(smooth, "JPEG", exif=exif, quality=95, subsampling=0)
    jpeg = read_image(turned, LIMIT)
    assert jpeg.encoded == turned
    np.testing.assert_array_equal(decoded(jpeg), UPRIGHT[orientation](decoded(read_image(upright, LIMIT))))


@pytest.mark.parametrize("kind", ["WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", camera_files.STORED)
def test_a_turned_image_that_no_server_reads_is_stored_upright(orientation, kind):
    content = camera_files.turned(orientation, kind, **({"lossless": True} if kind == "WEBP" else {}))
    np.testing.assert_array_equal(decoded(read_image(content, LIMIT)), camera_files.pixels())


def test_an_invalid_orientation_is_ignored():
    exif = Image.Exif()
    exif[ORIENTATION] = 9
    stored = noise()
    np.testing.assert_array_equal(
        decoded(read_image(encoded(Image.fromarray(stored), "PNG", exif=exif), LIMIT)), stored
    )


def test_transparent_pixels_of_a_palette_become_white():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    read = read_image(encoded(image, "PNG", transparency=0), LIMIT)
    np.testing.assert_array_equal(decoded(read), [[(255, 255, 255), (0, 0, 255)]])


@pytest.mark.parametrize(("mode", "half"), [("RGBA", (0, 0, 0, 128)), ("LA", (0, 128))])
def test_half_transparent_pixels_are_blended_with_white(mode, half):
    image = Image.new(mode, (3, 2), half)
    np.testing.assert_array_equal(decoded(read_image(encoded(image, "PNG"), LIMIT)), np.full((2, 3, 3), 127))


def test_a_palette_without_transparency_keeps_its_colours():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    for kind in ("PNG", "GIF", "BMP"):
        np.testing.assert_array_equal(
            decoded(read_image(encoded(image, kind), LIMIT)), [[(255, 0, 0), (0, 0, 255)]], err_msg=kind
        )


def test_cmyk_is_read_as_rgb():
    content = encoded(Image.new("CMYK", (16, 8), (0, 255, 255, 0)), "JPEG", quality=95)
    read = read_image(content, LIMIT)
    assert read.encoded == content
    assert np.abs(decoded(read).astype(int) - (255, 0, 0)).max() <= 8


def test_the_first_frame_of_an_animation_is_used():
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decoded(read_image(content, LIMIT)), np.full((3, 4, 3), (255, 0, 0)))


def test_a_png_or_jpeg_that_only_pillow_can_read_is_stored_as_pixels(monkeypatch):
    content = encoded(Image.fromarray(noise()), "PNG")
    monkeypatch.setattr(reader, "_by_graph", lambda *_: None)
    read = read_image(content, LIMIT)
    assert read.encoded != content
    monkeypatch.undo()
    np.testing.assert_array_equal(decoded(read), noise())
    monkeypatch.setattr(reader, "_TOO_MANY_PIXELS", 6 * 9)
    monkeypatch.setattr(reader, "_by_graph", lambda *_: None)
    assert refusal(content) == "it has more pixels than TensorFlow can decode; set data.max_side"


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_file_is_refused(kind):
    content = encoded(Image.fromarray(noise(100, 100)), kind)
    for length in (len(content) // 2, len(content) - 100):
        assert refusal(content[:length]).startswith("damaged: ")
    assert refusal(content[:5]) == f"damaged: it begins as a {kind}, and its header cannot be read"


def test_several_files_together_are_read_as_each_alone():
    """Whatever is beside them: hashes are computed for all at once, and must not change by a bit."""
    contents = [encoded(photographs.scene(number, 90 + number, 70), "JPEG") for number in range(20)]
    contents += [encoded(photographs.scene(20, 64, 64), kind) for kind in ("PNG", "WEBP")]
    contents += [encoded(Image.new("RGB", (30, 20), "red"), "PNG"), b"notes", b""]
    alone: list[object] = []
    for content in contents:
        try:
            alone.append(read_image(content, LIMIT, max_side=80))
        except Unusable as error:
            alone.append(str(error))
    for order in (contents, contents[::-1]):
        found = reader.read_images(iter(order), Reading(LIMIT, 80))
        together = [str(one) if isinstance(one, Unusable) else one for one in found]
        assert together == (alone if order is contents else alone[::-1])
    assert reader.read_images([], Reading()) == []


def test_an_empty_file_and_text_are_refused():
    assert refusal(b"") == "the file is empty"
    assert refusal(b"some notes\n").startswith("not an image of a known format (JPEG")


def test_the_result_is_read_again_as_the_same_image():
    smooth = Image.fromarray(np.kron(noise(), np.ones((16, 16, 1), np.uint8)))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    files = [encoded(smooth, "JPEG", exif=exif), encoded(smooth, "WEBP"), encoded(smooth, "TIFF")]
    files += [encoded(smooth.convert("RGBA"), "PNG"), encoded(smooth, "JPEG", progressive=True)]
    for content in files:
        read = read_image(content, LIMIT, max_side=100)
        assert max(read.width, read.height) == 100
        assert read_image(read.encoded, LIMIT, max_side=100) == read
        assert read.encoded[1:4] == b"PNG"  # never compressed with a loss again
        assert read.digest != read_image(content, LIMIT).digest


def test_a_progressive_jpeg_keeps_its_bytes():
    content = encoded(Image.fromarray(noise(40, 30)), "JPEG", progressive=True)
    assert read_image(content, LIMIT).encoded == content


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
@pytest.mark.parametrize(("width", "height", "small"), [(200, 100, (50, 25)), (99, 200, (25, 50)), (400, 1, (50, 1))])
def test_an_image_that_is_too_large_is_scaled_down_once(kind, width, height, small):
    """A ramp from dark to light stays a ramp, whichever steps are used to scale it down."""
    ramp = np.broadcast_to(np.linspace(0, 255, width, dtype=np.uint8), (height, width))
    content = encoded(Image.fromarray(np.ascontiguousarray(ramp)), kind)
    read = read_image(content, LIMIT, max_side=50)
    assert (read.width, read.height) == small
    expected = np.linspace(0, 255, small[0])
    assert np.abs(decoded(read)[0, :, 0] - expected).max() < 9
    assert read_image(content, LIMIT, max_side=50) == read
    assert read_image(content, LIMIT, max_side=max(width, height)).width == width


def test_an_image_of_exactly_max_side_keeps_its_bytes():
    content = encoded(Image.fromarray(noise(6, 9)), "PNG")
    assert read_image(content, LIMIT, max_side=9).encoded == content
    assert read_image(content, LIMIT, max_side=8).encoded != content


def test_an_orientation_is_applied_after_scaling_down():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    read = read_image(encoded(Image.new("RGB", (200, 100)), "JPEG", exif=exif), LIMIT, max_side=50)
    assert (read.width, read.height) == (25, 50)


def test_a_tiff_is_rotated_once():
    stored = noise()
    content = encoded(Image.fromarray(stored), "TIFF", tiffinfo={ORIENTATION: 6})
    np.testing.assert_array_equal(decoded(read_image(content, LIMIT)), UPRIGHT[6](stored))


@pytest.mark.parametrize("name", generated())
def test_files_of_every_format_and_mode_become_readable_for_tensorflow(name):
    if " F" in name:
        assert refusal(generated()[name]).startswith("floating-point")
        return
    read = read_image(generated()[name], LIMIT, max_side=30)
    width, height = (4, 3) if "16 bits" in name else (30, 19)
    is_turned = "exif" in name and "WEBP" not in name or "tiffinfo" in name
    assert (read.height, read.width) == ((width, height) if is_turned else (height, width))
    assert decoded(read).shape == (read.height, read.width, 3)
    assert images.decode(tf.constant(read.encoded), 8).shape == (8, 8, 3)


def test_heic_is_read_where_its_extra_is_there():
    content = nasty_images.heic(photographs.scene(1, 400, 300))
    read = read_image(content, LIMIT, max_side=100)
    assert (read.width, read.height) == (100, 75)
    assert "400 x 300 pixels are more" in refusal(content, 119_999)


@pytest.mark.large
def test_a_phones_heic_is_read_where_its_extra_is_there_and_names_it_where_not():
    content = photographs.real_data("nasty", HEIC).read_bytes()
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        assert refusal(content, 20_000_000) == "a HEIC image, which needs an extra: pip install pillow-heif"
    else:
        read = read_image(content, 20_000_000, max_side=100)
        assert (read.width, read.height) == (100, 75)
        assert "4032 x 3024 pixels are more" in refusal(content)


def test_the_error_for_heic_names_the_extra():
    header = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    if pillow_read.extra_formats():
        assert refusal(header)
    else:
        assert refusal(header) == f"a HEIC image, which needs an extra: {pillow_read.HEIF_INSTALL}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>404", "a web page, not an image"),
        (b"%PDF-1.7", "a PDF document"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "a drawing (SVG)"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "a video, not an image"),
        (b"\xff\xd8\xff\xc1\0\x0b\x0c\0\x08\0\x08\1\1\x11\0\xff\xd9", "a JPEG with 12 bits a channel"),
        (b"\xff\xd8\xff", "damaged: it begins as a JPEG"),
    ],
)
def test_common_files_that_are_not_images_are_recognised(content, reason):
    assert refusal(content).startswith(reason)


def test_a_program_in_postscript_is_given_to_no_interpreter(monkeypatch):
    """Pillow would start Ghostscript for it, if its format were allowed."""
    started: list[object] = []
    monkeypatch.setattr(subprocess, "check_call", lambda command, **_: started.append(command))
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    program = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(/tmp/x) (w) file\n%%EOF\n"
    assert refusal(program).startswith("not an image of a known format")
    assert started == []
    with Image.open(io.BytesIO(program)) as image, contextlib.suppress(OSError):
        image.load()
    assert started  # it would have


def test_an_image_with_a_zero_side_is_refused():
    content = bytearray(encoded(Image.fromarray(noise()), "BMP"))
    content[18:22] = bytes(4)
    assert refusal(bytes(content))


def test_an_image_of_exactly_max_pixels_is_read():
    content = encoded(Image.fromarray(noise(6, 9)), "PNG")
    assert read_image(content, 54).width == 9
    assert refusal(content, 53) == "9 x 6 pixels are more than data.max_pixels 53"


def test_max_pixels_is_checked_before_any_pixel_is_decoded():
    content = encoded(Image.new("L", (3000, 3000)), "PNG")
    assert "3000 x 3000 pixels" in refusal(content[: len(content) // 2], 8_999_999)


def test_equal_pixels_have_equal_digests_in_every_lossless_format():
    image = Image.fromarray(noise())
    files = [encoded(image, "PNG"), encoded(image, "BMP"), encoded(image, "TIFF")]
    files += [encoded(image, "PNG", compress_level=0), encoded(image, "WEBP", lossless=True)]
    assert len(set(files)) == len(files)
    digests = {read_image(content, LIMIT).digest for content in files}
    assert len(digests) == 1 and len(digests.pop()) == 64
    changed = noise()
    changed[0, 0, 0] ^= 1
    assert read_image(encoded(Image.fromarray(changed), "PNG"), LIMIT).digest != read_image(files[0], LIMIT).digest


def test_the_same_bytes_in_another_size_have_another_digest():
    pixels = noise(6, 4)
    one, other = Image.fromarray(pixels), Image.fromarray(pixels.reshape(4, 6, 3))
    assert one.tobytes() == other.tobytes()
    assert read_image(encoded(one, "PNG"), LIMIT).digest != read_image(encoded(other, "PNG"), LIMIT).digest


def test_a_grey_image_has_the_digest_of_its_rgb_equivalent():
    grey = Image.fromarray(noise(channels=1))
    assert (
        read_image(encoded(grey, "PNG"), LIMIT).digest == read_image(encoded(grey.convert("RGB"), "PNG"), LIMIT).digest
    )


@pytest.mark.parametrize("name", nasty_images.refused())
def test_a_nasty_file_is_refused_in_one_line(name):
    content, reason = nasty_images.refused()[name]
    found = refusal(content)
    assert found.startswith(reason) and "\n" not in found


@pytest.mark.parametrize("name", nasty_images.accepted())
def test_an_unusual_file_is_read_to_its_upright_size(name):
    content, (width, height) = nasty_images.accepted()[name]
    read = read_image(content, LIMIT, max_side=1024)
    assert (read.width, read.height) == (width, height)
    assert decoded(read).shape == (height, width, 3)
    assert images.decode(tf.constant(read.encoded), 8).shape == (8, 8, 3)


@pytest.mark.large
def test_real_nasty_files_are_read_to_their_stated_size_or_refused_in_one_line():
    refused, accepted = {}, 0
    for path in sorted(photographs.real_data("nasty").iterdir()):
        try:
            read = read_image(path.read_bytes(), LIMIT, max_side=1024)
        except Unusable as error:
            refused[path.name] = str(error)
        else:
            accepted += 1
            assert decoded(read).shape == (read.height, read.width, 3), path.name
            assert images.decode(tf.constant(read.encoded), 8).shape == (8, 8, 3)
    refused.pop(HEIC, None)
    assert sorted(refused) == sorted(REFUSED)
    assert accepted >= 17
    for name, reason in refused.items():
        assert reason.startswith(REFUSED[name]), (name, reason)
        assert "\n" not in reason


def test_a_photograph_with_an_orientation_stands_upright():
    """It is stored lying on its side, with the orientation that says so."""
    upright, exif = Image.open(io.BytesIO(photographs.shipped()[0])), Image.Exif()
    exif[ORIENTATION] = 8
    read = read_image(encoded(upright.transpose(Image.Transpose.ROTATE_270), "JPEG", exif=exif, quality=95), LIMIT)
    assert (read.width, read.height) == upright.size == (640, 427)
    assert np.abs(decoded(read).astype(int) - np.asarray(upright)).mean() < 4


@pytest.mark.large
def test_a_real_photograph_with_an_orientation_stands_upright():
    read = read_image(photographs.real_data("nasty", "Portrait_8.jpg").read_bytes(), LIMIT)
    assert (read.width, read.height) == (1200, 1800)


def test_photographs_keep_their_bytes():
    for photo in photographs.jpegs():
        assert read_image(photo, LIMIT).encoded == photo


@pytest.mark.large
def test_real_photographs_keep_their_bytes():
    for photo in sorted(photographs.real_data("flowers").glob("*/*.jpg"))[::150]:
        assert read_image(photo.read_bytes(), LIMIT).encoded == photo.read_bytes(), photo.name


def test_reading_in_threads_gives_the_same_results():
    contents = [content for content in generated().values() for _ in range(2)]

    def look(content: bytes) -> ReadImage | str:
        try:
            return read_image(content, LIMIT, max_side=30)
        except Unusable as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(look, contents)) == [look(content) for content in contents]


def test_pillows_own_limit_is_restored_after_threads_and_after_a_refusal():
    content, before = encoded(Image.new("RGB", (20, 10)), "PNG"), Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: read_image(content, 200), range(64)))
    assert refusal(content, 199) == "20 x 10 pixels are more than data.max_pixels 199"
    assert before == Image.MAX_IMAGE_PIXELS


def test_all_threads_together_decode_at_most_max_pixels(monkeypatch):
    content, now, highest = encoded(Image.new("RGB", (200, 100)), "PNG"), 0, 0
    real, lock = reader._by_graph, threading.Lock()

    def counting(*of: object) -> np.ndarray | None:
        nonlocal now, highest
        with lock:
            now += 1
            highest = max(highest, now)
        time.sleep(0.02)
        read = real(*of)
        with lock:
            now -= 1
        return read

    monkeypatch.setattr(reader, "_by_graph", counting)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: read_image(content, 3 * 200 * 100 + 1), range(24)))
    assert highest == 3

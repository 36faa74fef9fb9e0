"""Anyone's image files: what is kept, what is encoded anew, what is refused and with which sentence."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from modules import image_files
from modules.image_files import ReadImage, Unusable, read_image

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
NASTY = DATA / "nasty"
LIMIT = 10_000_000
ORIENTATION = 0x0112

# Of shared/data/nasty: everything that is no photograph in a known format, or is damaged or far too large.
REFUSED = {
    "10ct_32bit_128.tiff": "pixels of mode F",
    "16bit.cropped.tif": "pixels of mode I;16",
    "README.md": "not an image",
    "broken_data_stream.png": "damaged",
    "cloudy1.jpg": "not an image",
    "decompression_bomb.gif": "more pixels",
    "empty.heic": "the file is empty",
    "hopper.Lab.tif": "pixels of mode LAB",
    "hopper.avif": "not an image",
    "i_trns.png": "pixels of mode I;16",
    "png_decompression_dos.png": "damaged",
    "pug.heic": "not an image",
    "reallybig.bmp": "more pixels",
    "test-card-lossless.jp2": "not an image",
    "ultrahdr.jpg": "damaged",
}


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height: int = 6, width: int = 9, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def decoded(read: ReadImage) -> np.ndarray:
    """What TensorFlow makes of it."""
    return tf.io.decode_image(read.encoded, channels=3, expand_animations=False).numpy()


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
def test_an_orientation_is_applied_and_gone(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = noise()
    expected = UPRIGHT[orientation](stored)
    png = read_image(encoded(Image.fromarray(stored), "PNG", exif=exif), LIMIT)
    np.testing.assert_array_equal(decoded(png), expected)
    assert (png.height, png.width) == expected.shape[:2]
    assert png.digest == read_image(encoded(Image.fromarray(np.ascontiguousarray(expected)), "PNG"), LIMIT).digest

    smooth = np.kron(stored, np.ones((16, 16, 1), np.uint8))
    jpeg = read_image(encoded(Image.fromarray(smooth), "JPEG", exif=exif, quality=95, subsampling=0), LIMIT)
    with Image.open(io.BytesIO(jpeg.encoded)) as image:
        assert image.format == "JPEG"
        assert ORIENTATION not in image.getexif()
    difference = decoded(jpeg).astype(int) - UPRIGHT[orientation](smooth)
    assert np.abs(difference).mean() < 10  # two lossy encodings of noise; turned wrongly it is about 85


def test_an_orientation_that_does_not_exist_changes_nothing():
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
def test_what_is_half_transparent_is_mixed_with_white(mode, half):
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


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (16, 8), (0, 255, 255, 0))
    read = read_image(encoded(image, "JPEG", quality=95), LIMIT)
    with Image.open(io.BytesIO(read.encoded)) as found:
        assert (found.format, found.mode) == ("JPEG", "RGB")
    assert np.abs(decoded(read).astype(int) - (255, 0, 0)).max() <= 8


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decoded(read_image(content, LIMIT)), np.full((3, 4, 3), (255, 0, 0)))


def test_what_only_pillow_reads_is_encoded_anew(monkeypatch):
    content = encoded(Image.fromarray(noise()), "PNG", compress_level=0)
    assert read_image(content, LIMIT).encoded == content
    monkeypatch.setattr(image_files, "_tensorflow_decodes", lambda content: False)
    read = read_image(content, LIMIT)
    assert read.encoded != content
    np.testing.assert_array_equal(decoded(read), noise())


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_file_is_refused(kind):
    content = encoded(Image.fromarray(noise(100, 100)), kind)
    for length in (len(content) // 2, len(content) - 100):
        assert refusal(content[:length]).startswith("damaged: ")
    assert refusal(content[:5]).startswith("not an image of a known format (JPEG, PNG, ")


def test_an_empty_file_and_text_are_refused():
    assert refusal(b"") == "the file is empty"
    assert refusal(b"version https://git-lfs.github.com/spec/v1\n").startswith("not an image of a known format (JPEG")


def test_a_mode_without_an_obvious_rgb_is_refused():
    deep = Image.fromarray(np.arange(12, dtype=np.uint16).reshape(3, 4))
    assert refusal(encoded(deep, "PNG")) == "pixels of mode I;16 are not supported"


def test_the_bound_on_pixels_is_the_last_size_that_is_read():
    content = encoded(Image.fromarray(noise(6, 9)), "PNG")
    assert read_image(content, 54).width == 9
    assert refusal(content, 53) == "9 x 6 pixels are more than data.max_pixels 53"


def test_the_bound_on_pixels_is_checked_before_any_is_decoded():
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


def test_grey_has_the_digest_of_its_rgb():
    grey = Image.fromarray(noise(channels=1))
    assert (
        read_image(encoded(grey, "PNG"), LIMIT).digest == read_image(encoded(grey.convert("RGB"), "PNG"), LIMIT).digest
    )


def test_nasty_files_are_read_to_their_stated_size_or_refused_in_one_line():
    if not NASTY.is_dir():
        pytest.skip("the shared folder of nasty images is not beside this repository")
    refused, accepted = {}, 0
    for path in sorted(NASTY.iterdir()):
        try:
            read = read_image(path.read_bytes(), LIMIT)
        except Unusable as error:
            refused[path.name] = str(error)
        else:
            accepted += 1
            assert decoded(read).shape == (read.height, read.width, 3), path.name
    assert sorted(refused) == sorted(REFUSED)
    assert accepted >= 12
    for name, reason in refused.items():
        assert reason.startswith(REFUSED[name]), (name, reason)
        assert "\n" not in reason


def test_a_real_photograph_with_an_orientation_stands_upright():
    path = NASTY / "Portrait_8.jpg"
    if not path.is_file():
        pytest.skip("the shared folder of nasty images is not beside this repository")
    read = read_image(path.read_bytes(), LIMIT)
    assert (read.width, read.height) == (1200, 1800)


def test_real_photographs_keep_their_bytes():
    photos = sorted((DATA / "flowers").glob("*/*.jpg"))[::150]
    if not photos:
        pytest.skip("the shared folder of flowers is not beside this repository")
    for photo in photos:
        assert read_image(photo.read_bytes(), LIMIT).encoded == photo.read_bytes(), photo.name

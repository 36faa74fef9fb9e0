"""Which changes of an image change its signature."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgetune.modules.data.digits import write_digits
from edgetune.modules.images import perceptual_hash
from edgetune.modules.images.perceptual_hash import BITS, SIGNATURE, appearance, as_array, near
from tests.helpers import photographs


def scene(seed: int, width: int = 400, height: int = 300) -> Image.Image:
    """Blobs of twelve pixels and some grain: mostly low frequencies, as in a photograph."""
    generator = np.random.default_rng(seed)
    blobs = Image.fromarray(generator.integers(0, 256, (24, 32, 3), dtype=np.uint8))
    pixels = np.asarray(blobs.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    return Image.fromarray((pixels + generator.integers(-6, 7, pixels.shape)).clip(0, 255).astype(np.uint8))


def alike(left: Image.Image, right: Image.Image, distance: int = 12) -> bool:
    signatures = [appearance(np.asarray(image)).signature for image in (left, right)]
    assert all(len(signature) == SIGNATURE for signature in signatures)
    return bool(near(as_array(signatures[:1]), as_array(signatures[1:]), distance)[0])


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize("seed", range(5))
def test_recompressed_resized_and_brighter_pictures_are_alike(seed):
    image = scene(seed)
    assert alike(image, jpeg(image, 40))
    assert alike(image, image.resize((200, 150)))
    assert alike(image, jpeg(image.resize((900, 700)), 80))
    assert alike(image, image.point(lambda value: min(255, value + 15)))


def test_different_pictures_are_not_alike():
    signatures = as_array([appearance(np.asarray(scene(seed))).signature for seed in range(60)])
    for row in range(59):
        others = signatures[row + 1 :]
        assert not near(np.broadcast_to(signatures[row], others.shape), others, perceptual_hash.MAX_DISTANCE).any()


def test_mirrored_rotated_and_inverted_pictures_are_not_alike():
    image = scene(1, 300, 300)
    for other in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90):
        assert not alike(image, image.transpose(other), perceptual_hash.MAX_DISTANCE)
    assert not alike(image, image.point(lambda value: 255 - value), perceptual_hash.MAX_DISTANCE)


def test_the_same_shape_in_two_colours_is_not_alike():
    shape = np.asarray(scene(2).convert("L"))
    grey = np.full_like(shape, 40)
    red, green = (Image.fromarray(np.stack(planes, axis=2)) for planes in ((shape, grey, grey), (grey, shape, grey)))
    assert not alike(red, green)
    assert alike(red, jpeg(red, 60))


@pytest.mark.parametrize("make", ["white", "gradient", "stripes"])
def test_plain_pictures_have_no_signature(make):
    row = {"white": np.full(64, 255), "gradient": np.arange(64) * 4, "stripes": np.arange(64) % 8 // 4 * 255}[make]
    pixels = np.broadcast_to(row.astype(np.uint8)[None, :, None], (64, 64, 3)).copy()
    assert appearance(pixels).signature == b""
    assert appearance(np.asarray(jpeg(Image.fromarray(pixels), 50))).signature == b""


def test_the_means_are_those_of_the_channels():
    pixels = np.zeros((30, 50, 3), np.uint8)
    pixels[..., 0], pixels[:15, :, 1] = 200, 100
    assert appearance(pixels).means == pytest.approx((200, 50, 0), abs=1)


def test_images_of_one_pixel_and_of_extreme_shape_are_accepted():
    for size in ((1, 1), (1, 500), (3000, 2)):
        assert appearance(np.full((*size, 3), 7, np.uint8)).means == pytest.approx((7, 7, 7))


def test_no_two_digits_are_alike_at_the_largest_allowed_distance(tmp_path):
    found = as_array([_signature(path) for path in sorted(write_digits(tmp_path / "digits").glob("*/*.png"))])
    hashes = np.unpackbits(found[:, : BITS // 8], axis=1).astype(np.float32) * 2 - 1
    distances = (BITS - hashes @ hashes.T) / 2 + 1000 * np.eye(len(found))
    assert distances.min() > perceptual_hash.MAX_DISTANCE


def test_in_photographs_only_the_duplicate_is_found(tmp_path):
    for number, content in enumerate(photographs.shipped()):
        (tmp_path / f"shipped{number}.jpg").write_bytes(content)
    for number in range(150):
        (tmp_path / f"scene{number}.jpg").write_bytes(photographs.encoded(photographs.scene(number, 160, 120)))
    again = jpeg(Image.open(tmp_path / "scene7.jpg").resize((224, 168)), 60)
    again.save(tmp_path / "scene7 again.jpg", quality=75)
    assert _alike_files(tmp_path.glob("*.jpg")) == [("scene7 again.jpg", "scene7.jpg")]


@pytest.mark.large
@pytest.mark.parametrize(("name", "expected"), [("trashnet", [("glass176.jpg", "plastic152.jpg")]), ("flowers", [])])
def test_in_real_photographs_only_the_real_duplicate_is_found(name, expected):
    assert _alike_files(photographs.real_data(name).glob("*/*.jpg")) == expected


def _alike_files(files: Iterable[Path]) -> list[tuple[str, str]]:
    """Return the names of each two that are nearly the same image, in order."""
    paths = sorted(files)
    signatures = as_array([_signature(path) for path in paths])
    found = []
    for row in range(len(paths) - 1):
        others = signatures[row + 1 :]
        rows = np.flatnonzero(near(np.broadcast_to(signatures[row], others.shape), others, 12))
        found += [(paths[row].name, paths[row + 1 + other].name) for other in rows]
    return found


def _signature(path: Path) -> bytes:
    return appearance(np.asarray(Image.open(path).convert("RGB"))).signature


def test_alike_is_up_to_the_number_of_bits_and_the_tolerance_of_each_mean():
    one = np.full((1, SIGNATURE), 100, np.uint8)
    of_bits = one.copy()
    of_bits[0, :3] ^= 0x0F  # 12 bits
    assert near(one, of_bits, 12).tolist() == [True] and near(one, of_bits, 11).tolist() == [False]
    for channel, tolerance in enumerate((64, 24, 24)):  # luma and both chromas, of each cell
        for sign in (1, -1):
            for more, expected in ((0, True), (1, False)):
                other = one.astype(int)
                other[0, -3 + channel] += sign * (tolerance + more)
                assert near(one, other.astype(np.uint8), 0).tolist() == [expected]

"""Which files of an edge bundle the page may read, and whether they are there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgetune.modules.bundle.files import BundleFiles, shown
from edgetune.modules.contracts.bundle import BUNDLE_JSON, EXPECTED, GOLDEN, parse_bundle, parse_expected
from edgetune.modules.core.errors import BundleError


def bundle_files(folder: Path) -> dict[str, Path]:
    """The files of a bundle that the page needs: `bundle.json`, the models, and the golden images.

    Whether the models are unaltered is not looked at here: the page does that, with the bytes that it got.

    Args:
        folder: A bundle.

    Returns:
        Files by their path inside the bundle, such as `golden/00.png`. Each is a regular file inside of it.

    Raises:
        BundleError: It is no bundle, a file is missing, or a description is not as edgetune writes it.
    """
    files = BundleFiles(folder)
    if BUNDLE_JSON not in files.sizes and (version := _newest(folder)):
        raise BundleError(f"{shown(folder)}: is a folder of bundles", f"give one of them, such as {version}")
    expected_json = f"{GOLDEN}/{EXPECTED}"
    with _naming(folder / BUNDLE_JSON):
        bundle = parse_bundle(files.read(BUNDLE_JSON))
    with _naming(folder / expected_json):
        images = parse_expected(files.read(expected_json)).images
    names = [BUNDLE_JSON, expected_json, *(facts.file for facts in bundle.variants.values())]
    names += [f"{GOLDEN}/{image.file}" for image in images]
    for name in names:
        with _naming(folder / name):
            if name not in files.sizes:
                raise BundleError(files.refused.get(name, "is missing"), "fetch the bundle again")
    return {name: folder / name for name in names}


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except BundleError as error:
        raise BundleError(f"{shown(path)}: {error.cause}", error.remedy) from None


def _newest(folder: Path) -> Path | None:
    """The newest version, where `folder` is what bundles are pushed to."""
    versions = [path for path in folder.iterdir() if path.name.isdecimal() and (path / BUNDLE_JSON).is_file()]
    return max(versions, key=lambda path: int(path.name), default=None)

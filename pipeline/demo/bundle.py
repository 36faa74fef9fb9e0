"""List the files of an edge bundle that the page may read, and check that they exist."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgetune.modules.bundle.files import BundleFiles, refuse_parent, shown
from edgetune.modules.contracts.bundle import BUNDLE_JSON, EXPECTED, GOLDEN, parse_bundle, parse_expected
from edgetune.modules.core.errors import BundleError


def bundle_files(folder: Path) -> dict[str, Path]:
    """Return the files of a bundle that the page needs: `bundle.json`, the models, and the golden images.

    The digests of the models are not checked here: the page checks the bytes that it receives.

    Args:
        folder: A bundle.

    Returns:
        Files by their path inside the bundle, such as `golden/00.png`. Each is a regular file inside it.

    Raises:
        BundleError: The folder is not a bundle, a file is missing, or a JSON file is invalid.
    """
    refuse_parent(folder, "edgetune demo")
    files = BundleFiles(folder)
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

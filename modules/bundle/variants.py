"""Find the file of a variant in a bundle, without reading any."""

from __future__ import annotations

from pathlib import Path

from edgetune.modules.bundle.files import refuse_parent, shown
from edgetune.modules.contracts.bundle import BUNDLE_JSON, model_file
from edgetune.modules.core.errors import BundleError

REFERENCE = "float32"


def variants_in(bundle: Path) -> list[str]:
    """Return the names of the variants in a bundle's folder, sorted."""
    prefix, suffix = model_file("*").split("*")
    return sorted(path.name.removeprefix(prefix).removesuffix(suffix) for path in bundle.glob(model_file("*")))


def model_path(bundle: Path, variant: str | None = None) -> Path:
    """Return the path of a variant's file.

    Args:
        bundle: A bundle's folder, or a `.tflite` file.
        variant: Name of the variant; None for the reference float32 if it exists, else for the first by name.

    Raises:
        BundleError: The file does not exist.
    """
    if not bundle.is_dir():
        if not bundle.exists():
            raise BundleError(f"{bundle}: does not exist", "name the folder of an edge bundle, or a .tflite file")
        if variant is not None:
            raise BundleError(
                f"--variant {variant}: {bundle} is a single model", "omit --variant, or name the bundle's folder"
            )
        return bundle
    names = variants_in(bundle)
    if not names:
        refuse_parent(bundle, "edgetune predict")
        raise BundleError(
            f"{bundle}: contains no {model_file('<variant>')}", f"name the folder that contains {BUNDLE_JSON}"
        )
    if variant is not None and variant not in names:
        raise BundleError(f"{bundle}: has no variant {variant}", f"choose one of {shown(', '.join(names))}")
    return bundle / model_file(variant or (REFERENCE if REFERENCE in names else names[0]))

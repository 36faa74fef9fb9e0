"""Write what an inspection found as a list of images, which its user can edit and run with."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.data.sources import Source
from edgetune.modules.storage import filesystem
from edgetune.pipeline.inspect.inspection import Inspection


def write_list(inspection: Inspection, path: Path) -> None:
    """Write `path,label[,split]` of all images that can be read, with paths relative to the folder of the list.

    The column of splits is written if the data have some. An image of which edgetune makes further splits is in
    `train`, so that a run with the list makes them, too.

    Args:
        inspection: Of class folders, or of a list.
        path: The new file, in the data's folder or in one above it, so that it can name them. It must not exist.

    Raises:
        ConfigError: The file exists, cannot be written, or is elsewhere; or the data are records or behind a URL.
    """
    source = inspection.source
    base = _check(source, path)
    inside = os.path.relpath(base, path.resolve().parent)
    if inside.startswith(".."):
        raise ConfigError(
            f"--fix {path}: a list names images by paths below its own folder, and the images are in {source.base}",
            f"write it to {source.base.rstrip('/')}/list.csv",
        )
    splits = set(source.patterns) != {"all"}
    try:
        with path.open("x", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["path", "label", *(["split"] if splits else [])])
            for image in inspection.images:
                relative = image.path.removeprefix(source.base).lstrip("/")
                name = relative if inside == "." else f"{inside}/{relative}"
                writer.writerow([name, image.label, *([image.split or "train"] if splits else [])])
    except FileExistsError as error:
        raise ConfigError(f"--fix {path}: exists already", "name another file; nothing is overwritten") from error
    except OSError as error:
        raise ConfigError(f"--fix {path}: cannot be written: {error.strerror}", "name another file") from error


def _check(source: Source, path: Path) -> str:
    if path.suffix.lower() != ".csv":
        raise ConfigError(f"--fix {path}: is not called as a CSV", "end its name with .csv")
    if source.kind == "tfrecords":
        raise ConfigError("--fix: records are not files that a list could name", "inspect a folder of images or a list")
    if filesystem.is_remote(source.base):
        raise ConfigError(
            f"--fix: the images are behind a URL, {source.base}", "copy them here, or write the list there"
        )
    return os.path.realpath(source.base)

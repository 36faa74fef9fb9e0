"""Write what an inspection found as a list of images, which its user can edit and run with."""

from __future__ import annotations

import csv
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgetune.modules.core.errors import ConfigError
from edgetune.modules.core.untrusted_text import printable
from edgetune.modules.data.columns import GROUP
from edgetune.modules.data.sources import Source
from edgetune.modules.storage import filesystem
from edgetune.pipeline.inspect.inspection import Image, Inspection


def write_list(inspection: Inspection, path: Path) -> None:
    """Write `path,label[,split][,group]` of all images that can be read; paths are relative to the folder of the list.

    The column of splits is written if the data have some. An image of which edgetune makes further splits is in
    `train`, so that a run with the list makes them, too. The column of groups, for `data.group: group`, is written if
    `data.group` names some.

    Args:
        inspection: Of class folders, or of a list.
        path: The new file, in the data's folder or in one above it, so that it can name them. It must not exist.

    Raises:
        ConfigError: The file exists, cannot be written, or is elsewhere; the data are records or behind a URL; no image
            can be read; or a class or file has a name that a list cannot hold: bytes that are not UTF-8, or blanks
            around a class.
    """
    source = inspection.source
    base = _check(source, path)
    if not inspection.images:
        raise ConfigError(f"--fix {path}: no image of {inspection.path} can be read", "see the rejected files")
    inside = os.path.relpath(base, path.resolve().parent)
    if inside.startswith(".."):
        raise ConfigError(
            f"--fix {path}: a list names images by paths below its own folder, and the images are in {source.base}",
            f"write it to {source.base.rstrip('/')}/list.csv",
        )
    splits, groups = set(source.patterns) != {"all"}, has_groups(inspection)
    rows = []
    for image in inspection.images:
        relative = image.path.removeprefix(source.base).lstrip("/")
        name = relative if inside == "." else f"{inside}/{relative}"
        _check_names(path, name, image)
        split, group = [image.split or "train"] if splits else [], [image.group] if groups else []
        rows.append([name, image.label, *split, *group])
    # Python before 3.13 does not quote a carriage return by itself.
    returns = any("\r" in cell for row in rows for cell in row)
    try:
        with path.open("x", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL)
            writer.writerow(["path", "label", *(["split"] if splits else []), *([GROUP] if groups else [])])
            writer.writerows(rows)
    except FileExistsError as error:
        raise ConfigError(f"--fix {path}: exists already", "name another file; nothing is overwritten") from error
    except OSError as error:
        raise ConfigError(f"--fix {path}: cannot be written: {error.strerror}", "name another file") from error


def _check_names(path: Path, name: str, image: Image) -> None:
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise ConfigError(
            f"--fix {path}: {printable(image.source)} has a name that is not UTF-8, which a list cannot hold",
            "rename the file or folder",
        )
    if image.label != image.label.strip():
        raise ConfigError(
            f"--fix {path}: the class {image.label!r} begins or ends with a blank, which lists do not keep, so that it "
            "would be another class",
            f"rename the folder of {printable(image.source)}",
        )
    if image.group != image.group.strip():
        raise ConfigError(
            f"--fix {path}: the group {image.group!r} begins or ends with a blank, which lists do not keep, so that it "
            "would be another group",
            f"rename {printable(image.source)}, or change data.group",
        )


def has_groups(inspection: Inspection) -> bool:
    """Return whether images have groups that `data.group` names."""
    return any(image.group for image in inspection.images)


def command(
    path: Path, config: Path | None, overrides: Sequence[str], columns: Mapping[str, str], groups: bool = False
) -> str:
    """Return the command that runs with a written list and what the inspection was told.

    Args:
        path: The list, whose columns have the usual names.
        config: The configuration of the inspection.
        overrides: Its options `--set`, `KEY=VALUE`.
        columns: `data.columns`, of the list that was inspected.
        groups: Whether the list has a column of groups.
    """
    left_out = ("data.columns", "data.group=") if groups else ("data.columns",)
    told = [value for value in overrides if not value.startswith(left_out)]
    if groups:
        told.append(f"data.group={GROUP}")
    if config:  # which may name columns of the other list
        told += [f"data.columns.{role}={role}" for role, name in columns.items() if name]
    options = [option for value in told for option in ("--set", value)]
    return shlex.join(
        ["edgetune", "run", "--data", str(path), *(["--config", str(config)] if config else []), *options]
    )


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

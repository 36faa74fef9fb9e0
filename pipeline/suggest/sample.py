"""Take some images of each class, read as a run reads them, and group the near-duplicates among them."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgetune.modules.core import bounds
from edgetune.modules.core.errors import DataError
from edgetune.modules.data.digits import EMBEDDED, write_digits
from edgetune.modules.data.label_errors import FOLDS
from edgetune.modules.data.near_duplicates import alike
from edgetune.modules.data.sources import Source, discover
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import DataSettings
from edgetune.modules.storage.safe_read import UnreadableFile, read_file
from edgetune.pipeline.inspect import named_groups
from edgetune.pipeline.inspect.files import File, labelled

_HELD_BACK = "test"
"""A split of the data that no choice may see."""


@dataclass(frozen=True)
class Sample:
    """N images of C classes."""

    files: tuple[Path, ...]
    """Of each image, a file with the bytes that a run stores of it."""
    classes: tuple[str, ...]
    label: np.ndarray
    """int `[N]`: index of the class."""
    group: np.ndarray
    """int `[N]`: the same for near-duplicates, and for images of a group that `data.group` names."""
    reading: Reading
    of: int
    """Number of images that it was taken from."""
    unread: int
    """Number of images that were taken, and cannot be read."""

    def encoded(self) -> Iterator[bytes]:
        """Yield the images as a run stores them."""
        return (file.read_bytes() for file in self.files)


def draw(data: DataSettings, most: int, folder: Path) -> Sample:
    """Draw images of each class, the same ones for the same data; those of a given test split are left out.

    Args:
        data: Where the images are, and how they are read and grouped.
        most: Number of images; each class has an equal share of it, and at least as many as there are folds.
        folder: Folder to keep them in.

    Raises:
        DataError: The data cannot be used, or fewer than two classes have an image that can be read.
    """
    from edgetune.modules.images.reader import Unusable, read_image

    if data.path == EMBEDDED:
        data = data.model_copy(update={"path": str(write_digits(folder / "digits"))})
    source = discover(data)
    reading = Reading.of(data.model_dump(include={"max_pixels", "max_side", "background", "verify_images"}))
    drawn, of = _drawn(data, source, most)
    files, labels, ids, names, signatures = list[Path](), list[str](), list[str](), list[str](), list[bytes]()
    for file in drawn:
        group = named_groups.group_of(data.group, file.group, _relative(file.path, source))
        try:
            if group is None:
                continue
            content = file.content or read_file(file.path, source.base, bounds.max_file_bytes(data.max_pixels))
            made = read_image(content, reading)
        except (UnreadableFile, Unusable):
            continue
        files.append(folder / f"{len(files)}.image")
        files[-1].write_bytes(made.encoded)
        labels.append(file.label)
        ids.append(made.digest)
        signatures.append(made.appearance.signature)
        names.append(group)
    classes, label = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise DataError(
            f"{data.path} has {len(files)} images that can be read, of {len(classes)} classes; a choice needs two",
            "`edgetune inspect` says why the others cannot be read",
        )
    groups = named_groups.connected(alike(ids, signatures, data.duplicate_distance), names)
    return Sample(tuple(files), tuple(classes.tolist()), label, groups, reading, of, len(drawn) - len(files))


def _drawn(data: DataSettings, source: Source, most: int) -> tuple[list[File], int]:
    """Return the images to read, class by class, and the number of all."""
    counts = Counter(file.label for file in _usable(data, source))
    share = max(FOLDS, most // max(1, len(counts)))
    # By a digest of the name: neither the order of a folder nor where it lies makes a difference.
    heaps: dict[str, list[tuple[int, int, File]]] = defaultdict(list)
    for number, file in enumerate(_usable(data, source)):
        digest = hashlib.sha256(_relative(file.path, source).encode("utf-8", "surrogateescape")).digest()
        entry = -int.from_bytes(digest, "big"), -number, file
        if len(heaps[file.label]) < share:
            heapq.heappush(heaps[file.label], entry)
        else:
            heapq.heappushpop(heaps[file.label], entry)
    return [file for label in sorted(heaps) for *_, file in sorted(heaps[label], reverse=True)], counts.total()


def _usable(data: DataSettings, source: Source) -> Iterator[File]:
    return (file for file in labelled(source, data) if not file.reason and file.split != _HELD_BACK)


def _relative(path: str, source: Source) -> str:
    return path.removeprefix(source.base).lstrip("/")

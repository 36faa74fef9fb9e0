"""Further findings of `edgetune inspect --deep`, which decode every image and ask the pretrained backbone.

They are those of DatasetGate and LabelReviewer about pictures, near-duplicates and labels, by the same functions. Of
groups that `data.group` names, a feature of records is not used here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgetune.modules.core import bounds
from edgetune.modules.data import label_findings, picture_findings
from edgetune.modules.data.copy_findings import Copy, near_duplicates, same_images
from edgetune.modules.data.digits import EMBEDDED
from edgetune.modules.data.findings import Finding, Picture
from edgetune.modules.data.near_duplicates import alike
from edgetune.modules.data.sources import ALL, discover
from edgetune.modules.images.pillow_read import Unusable
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import RunSettings
from edgetune.modules.storage.safe_read import UnreadableFile, read_file
from edgetune.pipeline.inspect import named_groups
from edgetune.pipeline.inspect.files import labelled
from edgetune.pipeline.inspect.inspection import Image, Refuse


@dataclass
class _Read:
    """What is kept of the images that were decoded, by row."""

    images: list[Image]
    ids: list[str]
    """Digests of the pixels."""
    signatures: list[bytes]
    flaws: dict[str, list[tuple[float, str]]]
    """Score and file, by kind."""


def deep(images: Sequence[Image], settings: RunSettings, refuse: Refuse) -> list[Finding]:
    """Return the findings about pictures, near-duplicates and labels.

    Args:
        images: All images of the inspection.
        settings: `model`, `data` and `training.seed` are used.
        refuse: Called with each image that cannot be read as a run reads it, and the reason.

    Raises:
        WeightsError: The weights are unavailable, or do not match the architecture.
    """
    from edgetune.modules.training.image_features import features_of

    data = settings.data
    reading = Reading.of(data.model_dump(include={"max_pixels", "max_side", "background", "verify_images"}))
    read = _Read([], [], [], defaultdict(list))
    features = features_of(
        _encoded(images, settings, reading, read, refuse), settings.model, reading, settings.training.seed
    )
    found = picture_findings.all_pictures(
        {kind: _first(listed) for kind, listed in read.flaws.items()}, len(read.images)
    )
    groups = alike(read.ids, read.signatures, data.duplicate_distance)
    found += _near(read, groups, data.on_duplicates)
    groups = named_groups.connected(groups, [image.group for image in read.images])
    return found + _labels(read, features, groups, data.max_label_errors)


def _encoded(
    images: Sequence[Image], settings: RunSettings, reading: Reading, read: _Read, refuse: Refuse
) -> Iterator[bytes]:
    """Yield each image that can be read, as a run stores it, and keep what else is needed of it."""
    from edgetune.modules.images.reader import read_image

    for image, content in _contents(images, settings, refuse):
        try:
            made = read_image(content, reading)
        except Unusable as error:  # the first look did not decode it as a run does
            refuse(image, str(error))
            continue
        read.images.append(image)
        read.ids.append(made.digest)
        read.signatures.append(made.appearance.signature)
        size = made.width, made.height
        for kind, score in picture_findings.flaws(made.appearance.facts, *size, settings.model.image_size):
            read.flaws[kind].append((score, image.source))
        yield made.encoded


def _contents(images: Sequence[Image], settings: RunSettings, refuse: Refuse) -> Iterator[tuple[Image, bytes]]:
    data = settings.data
    source = None if data.path == EMBEDDED else discover(data)
    if source and source.kind == "tfrecords":
        wanted = {image.path: image for image in images}
        for file in labelled(source, data):
            if file.content is not None and file.path in wanted:
                yield wanted[file.path], file.content
        return
    most = bounds.max_file_bytes(data.max_pixels)
    for image in images:
        try:
            yield image, read_file(image.path, None, most)
        except UnreadableFile as error:  # since the first look
            refuse(image, str(error))


def _first(listed: list[tuple[float, str]]) -> tuple[int, list[Picture]]:
    clearest = sorted(listed)[: picture_findings.MOST_PICTURES]
    return len(listed), [Picture(file, score=score) for score, file in clearest]


def _near(read: _Read, groups: np.ndarray, kept: str) -> list[Finding]:
    """Return findings about near-duplicates that are not equal files, which the first look finds."""
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(groups.tolist()):
        members[group].append(row)
    several = [rows for rows in members.values() if len(rows) > 1]
    found = near_duplicates(len(several), sum(map(len, several)), len(groups), kept)
    for rows in several:
        of = [read.images[row] for row in rows]
        if len({image.content_id for image in of}) > 1:
            copies = [
                Copy(image.split or ALL, image.label, image.source, read.ids[row])
                for row, image in zip(rows, of, strict=True)
            ]
            found += same_images(copies, kept == "fail")
    return found


def _labels(read: _Read, features: np.ndarray, groups: np.ndarray, max_share: float) -> list[Finding]:
    names, label = np.unique([image.label for image in read.images], return_inverse=True)
    if len(names) < 2:
        return []

    def see(_: object) -> Callable[[int], Picture]:
        return lambda row: Picture(read.images[row].source, given=read.images[row].label)

    return label_findings.review(features, label, groups, names.tolist(), max_share, see)[0]

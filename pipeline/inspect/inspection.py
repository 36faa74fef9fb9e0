"""Inspect data before any run: which files are images, of which class and split, and what would stop a run."""

from __future__ import annotations

import hashlib
import statistics
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgetune.modules.core import bounds
from edgetune.modules.core.errors import DataError, EdgetuneError
from edgetune.modules.core.threads import InOrder
from edgetune.modules.data.class_findings import imbalance, small_classes
from edgetune.modules.data.class_names import similar_classes
from edgetune.modules.data.copy_findings import Copy, same_images
from edgetune.modules.data.digits import EMBEDDED, write_digits
from edgetune.modules.data.findings import Finding, is_allowed
from edgetune.modules.data.groups import UNMATCHED
from edgetune.modules.data.not_images import not_image, with_hint
from edgetune.modules.data.picture_findings import small_images
from edgetune.modules.data.sources import ALL, Source, discover
from edgetune.modules.images.pillow_read import Unusable
from edgetune.modules.images.reading import Reading
from edgetune.modules.settings.run import DataSettings, RunSettings
from edgetune.modules.storage.safe_read import UnreadableFile, read_file
from edgetune.pipeline.inspect import named_groups
from edgetune.pipeline.inspect.estimate import Estimate, estimate
from edgetune.pipeline.inspect.files import File, as_text, labelled, others
from edgetune.pipeline.inspect.look import Look, look


@dataclass(frozen=True, slots=True)
class Image:
    """An image that a run would read."""

    path: str
    """Local path or URL."""
    source: str
    """Path relative to the data's folder."""
    label: str
    split: str
    """Empty if edgetune divides it."""
    look: Look
    bytes: int
    content_id: str
    """SHA-256 of the file, in hexadecimal."""
    group: str = ""
    """As `data.group` names it; empty if it is not set."""


Refuse = Callable[[Image, str], None]
"""Called with an image that a run would reject, and the reason."""
Further = Callable[[Sequence[Image], RunSettings, Refuse], list[Finding]]
"""Further findings about the images, such as those that need their pixels or a network."""


@dataclass(frozen=True)
class Inspection:
    """What a run would read; `files == len(images) + len(rejected) + sum(not_images)`."""

    path: str
    source: Source
    images: tuple[Image, ...]
    rejected: tuple[dict[str, str], ...]
    """`path`, `reason` and `label` of each; of an image without a class, the label is empty."""
    left_out: int
    """Number of the rejected that are left out on purpose, which `data.max_rejected` does not count."""
    not_images: dict[str, int]
    """Number of files that are not images, by ending."""
    findings: tuple[Finding, ...]
    allowed: tuple[str, ...]
    """`data.allow`."""
    seconds: Estimate | None
    problems: tuple[str, ...] = field(default=())
    """What would stop a run beside findings."""
    failed: EdgetuneError | None = None
    """Why further findings are missing."""

    @property
    def files(self) -> int:
        """Number of all files under the folder, or of the lines of a list."""
        return len(self.images) + len(self.rejected) + sum(self.not_images.values())

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        shorter = [min(image.look.width, image.look.height) for image in self.images]
        longer = [max(image.look.width, image.look.height) for image in self.images]
        labels = Counter(row["label"] for row in self.rejected if row["label"])
        return {
            "path": self.path,
            "kind": self.source.kind,
            "notes": list(self.source.notes),
            "files": self.files,
            "accepted": len(self.images),
            "rejected": len(self.rejected),
            "left_out": self.left_out,
            "not_images": sum(self.not_images.values()),
            "not_images_by_kind": self.not_images,
            "splits_made": self.source.made_splits,
            "classes": {
                name: {"images": sum(found.values()), "rejected": labels[name], "splits": dict(sorted(found.items()))}
                for name, found in sorted(_by_class(self.images, labels).items())
            },
            "formats": dict(Counter(image.look.format for image in self.images).most_common()),
            "bytes": sum(image.bytes for image in self.images),
            "shorter_side": _spread(shorter),
            "longer_side": _spread(longer),
            "findings": [
                {**asdict(finding), "files": list(finding.files), "allowed": is_allowed(finding, self.allowed)}
                for finding in self.findings
            ],
            "problems": list(self.problems),
            "rejected_files": [{key: row[key] for key in ("path", "reason")} for row in self.rejected],
            "estimate": self.seconds.as_json() if self.seconds else None,
        }


def inspect(
    settings: RunSettings, further: Sequence[Further] = (), report: Callable[[str], None] = lambda _: None
) -> Inspection:
    """Inspect the data of a run, without training, TFX, and, but for TFRecords, TensorFlow.

    Args:
        settings: Of the run.
        further: Functions for further findings, called with all images. An error of one of them is in the result.
        report: Called with what is being done.

    Raises:
        DataError: No run could use the data, as of `modules.data.sources.discover`.
    """
    data = settings.data
    with tempfile.TemporaryDirectory(prefix="edgetune-") as folder:
        if data.path == EMBEDDED:
            data = data.model_copy(update={"path": str(write_digits(Path(folder) / "digits"))})
        source = discover(data)
        try:
            return _inspected(settings, data, source, further, report)
        except OSError as error:
            cause = f"{error.filename or data.path} cannot be read: {error.strerror}"
            raise DataError(cause, "check the folder and its permissions") from error


def _inspected(
    settings: RunSettings,
    data: DataSettings,
    source: Source,
    further: Sequence[Further],
    report: Callable[[str], None],
) -> Inspection:
    images: list[Image] = []
    rejected: list[dict[str, str]] = []
    not_images: Counter[str] = Counter()
    left_out = 0
    for number, found in enumerate(_looks(source, data), start=1):
        if isinstance(found, Image):
            images.append(found)
        elif source.kind == "images" and (kind := not_image(found["path"], found["reason"])):
            not_images[kind] += 1
        else:
            rejected.append({**found, "reason": with_hint(found["path"], found["reason"])})
        if number % 100 == 0:
            report(f"{number:,} files")
    for other in others(source):
        if other.kind:
            not_images[other.kind] += 1
        else:
            left_out += other.set_aside
            rejected.append({"path": _relative(other.path, source), "reason": other.reason, "label": ""})
    refused: dict[str, dict[str, str]] = {}

    def refuse(image: Image, reason: str) -> None:
        refused[image.path] = {"path": image.source, "reason": " ".join(reason.split()), "label": image.label}

    more: list[Finding] = []
    failed: EdgetuneError | None = None
    try:
        for find in further:
            more += find(images, settings, refuse)
    except EdgetuneError as error:  # what was seen so far is worth to be shown
        failed = error
    images = [image for image in images if image.path not in refused]
    rejected = sorted([*rejected, *refused.values()], key=lambda row: row["path"])
    findings = _findings(images, data) + more
    pixels = statistics.fmean([i.look.width * i.look.height for i in images]) if images else 0.0
    return Inspection(
        settings.data.path,
        source,
        tuple(images),
        tuple(rejected),
        left_out,
        dict(not_images.most_common()),
        tuple(findings),
        data.allow,
        estimate(len(images), pixels, settings),
        (
            *named_groups.problems(
                data.group, [(image.group, image.source) for image in images], rejected, bool(source.made_splits)
            ),
            *_problems(images, rejected, left_out, data),
        ),
        failed,
    )


def _looks(source: Source, data: DataSettings) -> Iterator[Image | dict[str, str]]:
    """Yield each image, and the path, reason and label of each file that cannot be read."""
    reading = Reading(data.max_pixels, data.max_side)
    most = bounds.max_file_bytes(data.max_pixels)

    def one(file: File) -> Image | dict[str, str]:
        relative, label = _relative(file.path, source), as_text(file.label)
        try:
            if file.reason:
                raise Unusable(file.reason)
            content = read_file(file.path, source.base, most) if file.content is None else file.content
            found = look(content, reading)
        except (UnreadableFile, Unusable) as error:
            return {"path": relative, "reason": " ".join(str(error).split()), "label": label}
        if (group := named_groups.group_of(data.group, file.group, relative)) is None:
            return {"path": relative, "reason": f"{UNMATCHED}: {data.group}", "label": label}
        digest = hashlib.sha256(content).hexdigest()
        return Image(file.path, relative, label, file.split, found, len(content), digest, group)

    calls = InOrder(one)
    for file in labelled(source, data):
        yield from calls.call(file)
    yield from calls.rest()


def _findings(images: Sequence[Image], data: DataSettings) -> list[Finding]:
    splits: dict[str, Counter[str]] = defaultdict(Counter)
    same: dict[str, list[Copy]] = defaultdict(list)
    small = []
    for image in images:
        splits[image.split or ALL][image.label] += 1
        same[image.content_id].append(Copy(image.split or ALL, image.label, image.source, image.content_id))
        longest, shortest = (of(image.look.width, image.look.height) for of in (max, min))
        if min(1.0, (data.max_side or longest) / longest) * shortest < data.min_side:
            small.append(image.source)
    found = similar_classes(set().union(*splits.values()))
    found += small_classes(splits, data.min_examples_per_class) + imbalance(splits, data.max_imbalance)
    found += small_images(len(small), sorted(small), data.min_side)
    for copies in same.values():
        if len(copies) > 1:
            found += same_images(copies, data.on_duplicates == "fail")
    copies_of = ((i.group, Copy(i.split or ALL, i.label, i.source, i.content_id)) for i in images)
    return found + named_groups.torn(copies_of)


def _problems(
    images: Sequence[Image], rejected: Sequence[dict[str, str]], left_out: int, data: DataSettings
) -> Iterator[str]:
    unusable = len(rejected) - left_out
    tried = len(images) + len(rejected)
    if tried and unusable / tried > data.max_rejected:
        yield (
            f"{unusable} of {tried} files ({unusable / tried:.1%}) cannot be used as images, more than "
            f"data.max_rejected {data.max_rejected:.1%} allows"
        )
    if lost := sorted({row["label"] for row in rejected if row["label"]} - {image.label for image in images}):
        yield f"no file of class {', '.join(lost[:10])} can be used as an image"


def _by_class(images: Sequence[Image], others: Counter[str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {name: Counter() for name in others}
    for image in images:
        found.setdefault(image.label, Counter())[image.split or ALL] += 1
    return found


def _spread(values: Sequence[int]) -> dict[str, int] | None:
    """Return the smallest, the median and the largest of some numbers."""
    return {"min": min(values), "median": int(statistics.median(values)), "max": max(values)} if values else None


def _relative(path: str, source: Source) -> str:
    return as_text(path.removeprefix(source.base).lstrip("/"))

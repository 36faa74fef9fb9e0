"""Measure a model on labelled images, which are read as those of a run: class folders, lists or TFRecords."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgetune.modules.contracts.thresholds import Thresholds, accepts
from edgetune.modules.core.errors import ConfigError, DataError
from edgetune.modules.core.untrusted_text import printable
from edgetune.modules.core.wording import counted
from edgetune.modules.data.not_images import not_image
from edgetune.modules.data.sources import ALL, Source, discover
from edgetune.modules.evaluation.intervals import wilson
from edgetune.modules.settings.run import DataSettings
from edgetune.pipeline.classify.model import Model
from edgetune.pipeline.inspect.files import File, as_text, labelled
from edgetune.pipeline.report.words import interval, percent
from edgetune.pipeline.terminal.table import table

_TEST = "test"
_MATRIX, _PAIRS, _SHOWN = 10, 12, 20
"""Classes of a matrix that is printed; pairs that are, of more classes; files that could not be read."""


@dataclass(frozen=True)
class Share:
    """A number of images of a larger number."""

    right: int
    of: int

    @property
    def value(self) -> float | None:
        """Its share, 0..1; None if there are no images."""
        return self.right / self.of if self.of else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval, Wilson's; None if there are no images."""
        return wilson(self.right, self.of)

    def as_json(self) -> dict[str, Any]:
        """Return `value`, `low`, `high`, `right` and `of`."""
        low, high = self.interval or (None, None)
        return {"value": self.value, "low": low, "high": high, "right": self.right, "of": self.of}


@dataclass(frozen=True)
class Evaluation:
    """A model's answers to labelled images, counted."""

    model: str
    """Path of the model."""
    data: str
    split: str
    """The part of the data that was read; `all` for all of it."""
    labels: list[str]
    """Classes of the model."""
    counts: np.ndarray = field(repr=False)
    """int64 `[C, C]`: images by true class and by predicted class."""
    accepted: tuple[Share, Share] | None = None
    """Answers that reach the threshold of their class, of all; and right ones of these. None without thresholds."""
    unknown: dict[str, Counter[str]] = field(default_factory=dict)
    """Of each class that the model does not have: what its images were taken for. They do not count in `accuracy`."""
    unreadable: tuple[str, ...] = ()
    """Each image that could not be read, with the reason."""

    @property
    def accuracy(self) -> Share:
        """Right answers, of the images of classes that the model has."""
        return Share(int(self.counts.trace()), int(self.counts.sum()))

    def recall(self, place: int) -> Share:
        """Return right answers, of the images of a class, by its place in `labels`."""
        return Share(int(self.counts[place, place]), int(self.counts[place].sum()))

    def precision(self, place: int) -> Share:
        """Return right answers, of the answers that name a class, by its place in `labels`."""
        return Share(int(self.counts[place, place]), int(self.counts[:, place].sum()))

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON has it."""
        return {
            "model": self.model,
            "data": self.data,
            "split": self.split,
            "accuracy": self.accuracy.as_json(),
            "accepted": self.accepted
            and {"answers": self.accepted[0].as_json(), "precision": self.accepted[1].as_json()},
            "classes": {
                label: {"recall": self.recall(place).as_json(), "precision": self.precision(place).as_json()}
                for place, label in enumerate(self.labels)
            },
            "confusion": {"labels": self.labels, "counts": self.counts.tolist()},
            "unknown_classes": {name: dict(taken.most_common()) for name, taken in self.unknown.items()},
            "unreadable": list(self.unreadable),
        }


def evaluate(
    model: Model,
    data: DataSettings,
    split: str | None = None,
    thresholds: Thresholds | None = None,
    report: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Ask a model about all labelled images, and count its answers.

    Args:
        model: The model.
        data: `path` and how it is read, as of a run; a class may have any number of images.
        split: Only this split of the data, or `all`; None for `test` if the data have it, otherwise all.
        thresholds: For each class of the model the probability from which its answers are accepted.
        report: Called for each image.

    Raises:
        DataError: The data cannot be read, or have no image of a class that the model has.
        ConfigError: The data do not have this split.
        BundleError: The model ends the process that runs it.
    """
    source, wanted = check(data, split)
    truth: list[File] = []

    def images() -> Iterator[tuple[str, Any]]:
        for file in labelled(source, data):
            if wanted in (ALL, file.split or ALL):
                truth.append(file)
                name = as_text(file.path.removeprefix(source.base).lstrip("/"))
                yield name, _content(file, name)

    place = {label: number for number, label in enumerate(model.labels)}
    counts = np.zeros([len(model.labels)] * 2, np.int64)
    unknown: dict[str, Counter[str]] = {}
    unreadable, taken, right = list[str](), 0, 0
    for number, (name, answer) in enumerate(model.answers(images())):
        report()
        label = as_text(truth[number].label)
        if isinstance(answer, DataError):
            # Notes beside the images are not images that cannot be read, as in a run.
            if source.kind != "images" or not not_image(name, answer.cause.removeprefix(f"{name}: ")):
                unreadable.append(answer.cause)
            continue
        best = int(answer.argmax())
        if label not in place:
            unknown.setdefault(label, Counter())[model.labels[best]] += 1
            continue
        counts[place[label], best] += 1
        if thresholds is not None and accepts(thresholds, best, float(answer[best])):
            taken += 1
            right += place[label] == best
    total = int(counts.sum())
    if not total:
        known = ", ".join(model.labels[:_SHOWN])
        raise DataError(
            f"{data.path}: no image of a class that the model has could be read",
            f"name the folder that has one folder for each class; the model has {known}",
        )
    accepted = None if thresholds is None else (Share(taken, total), Share(right, taken))
    return Evaluation(str(model.path), data.path, wanted, model.labels, counts, accepted, unknown, tuple(unreadable))


def check(data: DataSettings, split: str | None) -> tuple[Source, str]:
    """Return what the data are, and the split that is meant, before any model is opened.

    Raises:
        DataError: The data cannot be read.
        ConfigError: They do not have this split.
    """
    source = discover(data.model_copy(update={"min_examples_per_class": 1}))
    if split is None:
        return source, _TEST if _TEST in source.patterns else ALL
    if split != ALL and split not in source.patterns:
        there = [name for name in source.patterns if name != ALL]
        has = f"has {' and '.join(there)}" if there else "has no splits"
        raise ConfigError(f"--split {split}: {source.base} {has}", "name one that the data have, or all")
    return source, split


def _content(file: File, name: str) -> Any:
    """Return what a model is asked about: the content of a record, or the path of a file."""
    if file.reason:
        return DataError(f"{name}: {file.reason}")
    return Path(file.path) if file.content is None else file.content


def as_lines(found: Evaluation) -> Iterator[str]:
    """Yield an evaluation as lines for a terminal."""
    accuracy = found.accuracy
    of = f"{found.data}" + ("" if found.split == ALL else f", split {found.split}")
    yield f"model     {printable(found.model)}"
    yield f"data      {printable(of)}: {counted(accuracy.of, 'image')} of classes that the model has"
    yield f"accuracy  {_share(accuracy)}"
    if found.accepted is not None:
        answers, precision = found.accepted
        yield f"accepted  {_share(answers)} by the thresholds; {_share(precision)} of these are right"
    yield ""
    yield from _classes(found)
    yield ""
    yield from _confusion(found)
    for name, taken in found.unknown.items():
        named = ", ".join(f"{printable(label)} {count}" for label, count in taken.most_common())
        yield f"unknown class {printable(name)}: {counted(taken.total(), 'image')}, taken for {named}"
    if absent := [label for place, label in enumerate(found.labels) if not found.recall(place).of]:
        yield f"classes of the model without images here: {', '.join(map(printable, absent))}"
    yield from (f"not read: {printable(reason)}" for reason in found.unreadable[:_SHOWN])
    if len(found.unreadable) > _SHOWN:
        yield f"and {len(found.unreadable) - _SHOWN:,} more not read; --json lists all"


def _share(share: Share) -> str:
    if share.value is None:
        return "–"
    return f"{percent(share.value)} ({share.right:,} of {share.of:,}; 95% interval {interval(share.interval)})"


def _classes(found: Evaluation) -> Iterator[str]:
    rows = [["class", "images", "recall", "95% interval", "precision", "95% interval", "most often taken for"]]
    for place, label in enumerate(found.labels):
        recall, precision = found.recall(place), found.precision(place)
        wrong = found.counts[place].copy()
        wrong[place] = 0
        most = int(wrong.argmax())
        rows.append(
            [
                printable(label),
                f"{recall.of:,}",
                percent(recall.value),
                interval(recall.interval),
                percent(precision.value),
                interval(precision.interval),
                f"{printable(found.labels[most])} {wrong[most]}" if wrong[most] else "–",
            ]
        )
    yield from table(rows, "<>")


def _confusion(found: Evaluation) -> Iterator[str]:
    names = [printable(label) for label in found.labels]
    if len(names) <= _MATRIX:
        yield "images by true class (rows) and predicted class"
        cells = [[name, *(f"{count:,}" for count in row)] for name, row in zip(names, found.counts, strict=True)]
        yield from table([["", *names], *cells], "<>")
        return
    wrong = found.counts * (1 - np.eye(len(names), dtype=np.int64))
    rows, columns = np.unravel_index(np.argsort(-wrong, axis=None, kind="stable")[:_PAIRS], wrong.shape)
    pairs = [(row, column) for row, column in zip(rows, columns, strict=True) if wrong[row, column]]
    yield "most frequent confusions; --json has the whole matrix" if pairs else "no image was taken for another class"
    for row, column in pairs:
        yield f"  {names[row]} taken for {names[column]}: {wrong[row, column]} of {found.counts[row].sum()}"

"""Findings about labels that are probably wrong, and about images that resemble no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np

from edgetune.modules.core.wording import counted
from edgetune.modules.data import label_errors as judge
from edgetune.modules.data.findings import Finding, Picture

MOST_PICTURES = 50
"""Images that a finding about labels shows."""

See = Callable[[AbstractSet[int]], Callable[[int], Picture]]
"""Called once with the rows that are shown; returns a function from such a row to its picture, with file and label."""


def review(
    features: np.ndarray, label: np.ndarray, group: np.ndarray, names: Sequence[str], max_share: float, see: See
) -> tuple[list[Finding], int]:
    """Judge all labels out of fold, and return the findings and the number of labels that are probably wrong.

    Args:
        features: float32 `[N, c]`, of a network that has not learned from the images.
        label: int `[N]`: indices into `names`.
        group: `[N]`: images that must not be separated have an equal one.
        names: The classes.
        max_share: `data.max_label_errors`.
        see: The pictures of the first images of each finding.
    """
    probabilities = judge.out_of_fold(features, label, group, len(names))
    wrong, strange = judge.suspects(probabilities, label), judge.outliers(features)
    shown, far = wrong[:MOST_PICTURES], strange[:MOST_PICTURES]
    picture = see({one.row for one in shown} | {one.row for one in far})
    suspects = [replace(picture(one.row), looks_like=names[one.looks_like], score=one.score) for one in shown]
    others = [replace(picture(one.row), score=one.score) for one in far]
    judged, agreed = int(judge.judged(probabilities).sum()), judge.accuracy(probabilities, label)
    found = label_errors(suspects, len(wrong), judged, agreed, max_share, (len(label), len(names)))
    return found + outliers(others, len(strange)), len(wrong)


def label_errors(
    pictures: Sequence[Picture], number: int, judged: int, accuracy: float, max_share: float, of: tuple[int, int]
) -> list[Finding]:
    """Report labels that are probably wrong, or that none could be judged.

    It informs, and stops no run by default: the number depends on how well a simple classifier separates the classes,
    and of a list on photographs of waste, three in five are only hard.

    Args:
        pictures: The first of them, the most likely ones first; `score` is the probability of the given class.
        number: Number of such labels.
        judged: Number of all labels that were judged.
        accuracy: Share of these that the classifier agrees with, 0..1.
        max_share: `data.max_label_errors`: a larger share of `judged` stops the run, and so does a bound below 1 if
            none is judged.
        of: Numbers of all labels and of classes.
    """
    if not judged:
        return [_none_judged(*of, stops=max_share < 1)]
    if not number:
        return []
    share = number / judged
    stops = share > max_share
    bound = f", more than data.max_label_errors {max_share:.1%}" if stops else ""
    cause = (
        f"{counted(number, 'label')} of {judged:,} ({share:.1%}{bound}) {'is' if number == 1 else 'are'} probably "
        f"wrong, by a classifier that did not see the image and agrees with {accuracy:.1%} of all labels"
    )
    remedy = "look at them, and correct the labels that are wrong" + (
        ", or raise data.max_label_errors" if stops else ""
    )
    files = tuple(picture.file for picture in pictures)
    return [Finding("label_errors", cause, remedy, files, informs=not stops, pictures=tuple(pictures))]


def _none_judged(labels: int, classes: int, *, stops: bool) -> Finding:
    if labels * classes > judge.MOST_PROBABILITIES:
        why = f"{labels:,} images times {classes:,} classes are more than {judge.MOST_PROBABILITIES:,}"
        remedy = "set data.review_labels to false"
    else:
        why = "each class needs images in at least two groups that may be separated"
        remedy = "add images, or set data.review_labels to false"
    bound = ", so nothing says whether they keep within data.max_label_errors" if stops else ""
    return Finding("label_errors", f"0 of {labels:,} labels could be judged: {why}{bound}", remedy, informs=not stops)


def outliers(pictures: Sequence[Picture], number: int) -> list[Finding]:
    """Report images that resemble no other.

    Args:
        pictures: The first of them, the most distant first; `score` is their distance, in medians of all distances.
        number: Number of such images.
    """
    if not number:
        return []
    cause = f"{counted(number, 'image')} {'resembles' if number == 1 else 'resemble'} no other"
    files = tuple(picture.file for picture in pictures)
    remedy = "look at them, and remove those that show none of the classes"
    return [Finding("outliers", cause, remedy, files, informs=True, pictures=tuple(pictures))]

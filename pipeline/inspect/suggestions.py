"""Suggest settings for data that were inspected: what follows from classes, sizes, balance, splits and names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edgetune.modules.core.wording import counted
from edgetune.modules.data.findings import permissions, refused
from edgetune.modules.data.layouts import ALL
from edgetune.modules.settings.architectures import ARCHITECTURES
from edgetune.modules.settings.data import Splits
from edgetune.modules.settings.run import RunSettings
from edgetune.pipeline.inspect.inspection import Inspection

UNBALANCED = 3.0
"""Ratio between the largest and the smallest class from which `balanced` class weights are suggested. It is a judgement
and not a measured optimum; `data.max_imbalance`, which stops a run, is far above it."""
_SIZES = range(96, 1025, 32)
"""Sizes of the input, in pixels. Networks that halve the image five times lose no border with a multiple of 32; 96 is
the smallest size of the MobileNetV2 paper (arXiv:1801.04381)."""
_SHARES = ((8, 1, 1), (6, 2, 2), (2, 1, 1))
"""Train, eval and test: the default, and larger tests for fewer images."""
_SIDES = {"left", "right", "links", "rechts", "gauche", "droite", "izquierda", "derecha"}
_GROUPS = (
    (r"([^/]+)/[^/]+$", "the folder of an image"),
    (r"([^/]+)[_-][^/_-]+$", "the name of an image up to its last `_` or `-`"),
    (r"([^/_-]+)[_-][^/]*$", "the name of an image up to its first `_` or `-`"),
)
_LARGEST_GROUP, _FEWEST_GROUPS = 0.2, 10
_NAMED = 10


@dataclass(frozen=True)
class Suggestion:
    """A value for one setting."""

    key: str
    """Dotted name."""
    value: Any
    why: str = ""
    """For a comment: what was seen."""
    hint: bool = False
    """Whether only a user can know if it applies; the value is not used then."""


def suggestions(inspection: Inspection, settings: RunSettings) -> list[Suggestion]:
    """Return settings that suit the data, each key once, in no particular order.

    Args:
        inspection: What was found.
        settings: Of the inspection. What differs from its default there was decided, and is kept.
    """
    default = RunSettings(name=settings.name, data=settings.data.model_copy(update={"path": "x"}))
    classes = Counter(image.label for image in inspection.images)
    return [
        Suggestion("data.path", settings.data.path, _seen(inspection, classes)),
        *_splits(inspection, classes, settings),
        *_groups(inspection, settings),
        *_stopping(inspection, settings),
        Suggestion("model.backbone", settings.model.backbone, "`edgetune config --reference` lists all."),
        _image_size(inspection, settings),
        _weights(classes, settings, settings.training.class_weights != default.training.class_weights),
        *_augmentation(classes, settings),
        Suggestion("evaluation.min_accuracy", settings.evaluation.min_accuracy, _chance(classes)),
        Suggestion("edge.variants", list(settings.edge.variants), "What is converted for phones, and measured."),
    ]


def _seen(inspection: Inspection, classes: Counter[str]) -> str:
    named = ", ".join(f"{name} {count:,}" for name, count in classes.most_common(_NAMED))
    more = f" and {len(classes) - _NAMED} more" if len(classes) > _NAMED else ""
    parts = [
        f"{counted(len(inspection.images), 'image')} in {counted(len(classes), 'class', 'classes')}: {named}{more}."
    ]
    facts = inspection.as_json()
    if sides := facts["shorter_side"]:
        formats = ", ".join(f"{name} {number:,}" for name, number in facts["formats"].items())
        parts.append(f"{formats}; shorter side {sides['min']} to {sides['max']} pixels, median {sides['median']}.")
    if inspection.rejected:
        parts.append(f"{counted(len(inspection.rejected), 'file')} cannot be used; `edgetune inspect` says why.")
    parts += [f"{note}." for note in inspection.source.notes]
    if inspection.source.has_splits:
        splits = Counter(image.split for image in inspection.images)
        parts.append(f"The data have their own splits: {', '.join(f'{k} {v:,}' for k, v in splits.items())}.")
    return " ".join(parts)


def _splits(inspection: Inspection, classes: Counter[str], settings: RunSettings) -> Iterator[Suggestion]:
    made = inspection.source.made_splits
    if not made:
        return
    divided = Counter(image.label for image in inspection.images if (image.split or ALL) == ALL)
    given, needed = settings.data.splits, settings.evaluation
    shares = [(given.train, given.eval, given.test)] if given != Splits() else list(_SHARES)
    total = fewest = 0
    for share in shares:
        each = {name: count * share[2] // sum(share) for name, count in divided.items()}
        total, fewest = sum(each.values()), min(each.values(), default=0)
        if total >= needed.min_test_images and fewest >= needed.min_test_images_per_class:
            break
    value = dict(zip(("train", "eval", "test"), share, strict=True))
    why = f"edgetune makes {', '.join(made)}, with the same share of each class."
    if "test" in made:
        why += f" About {counted(total, 'test image')}, {fewest} of the smallest class."
        if total < needed.min_test_images or fewest < needed.min_test_images_per_class:
            why += (
                f" No model is blessed with fewer than {needed.min_test_images} test images, or than "
                f"{needed.min_test_images_per_class} of a class (evaluation.min_test_images, "
                "evaluation.min_test_images_per_class): add images."
            )
    yield Suggestion("data.splits", value, why)


def _groups(inspection: Inspection, settings: RunSettings) -> Iterator[Suggestion]:
    if settings.data.group or inspection.source.kind == "tfrecords" or not inspection.source.made_splits:
        return
    classes = {image.label for image in inspection.images}
    for pattern, what in _GROUPS:
        matches = [re.search(pattern, image.source) for image in inspection.images]
        if not all(matches):
            continue
        sizes = Counter(match[1] for match in matches if match)
        [(largest, size)] = sizes.most_common(1) or [("", 0)]
        several = sum(sizes.values()) >= 2 * len(sizes) >= 2 * _FEWEST_GROUPS
        if several and size <= _LARGEST_GROUP * len(matches) and not set(sizes) <= classes:
            why = (
                f"If {what} says what an image is of, such as a patient, a site or a video ({len(sizes)} of them, "
                f"{largest} with {size} images), remove the #: no split may separate such images."
            )
            yield Suggestion("data.group", pattern, why, hint=True)
            return


def _stopping(inspection: Inspection, settings: RunSettings) -> Iterator[Suggestion]:
    stopping = refused(inspection.findings, settings.data.allow)
    if stopping:
        causes = "; ".join(item.cause for item in stopping[:3]) + ("; and more" if len(stopping) > 3 else "")
        why = (
            f"A run stops at {counted(len(stopping), 'finding')}: {causes}. Correct the data, or remove the # to allow."
        )
        yield Suggestion("data.allow", permissions(stopping, settings.data.allow), why, hint=True)


def _image_size(inspection: Inspection, settings: RunSettings) -> Suggestion:
    model, published = settings.model, ARCHITECTURES[settings.model.backbone].image_size
    facts = inspection.as_json()["shorter_side"]
    if model.image_size != published or facts is None:
        return Suggestion("model.image_size", model.image_size, "Height and width of the input, in pixels.")
    least = ARCHITECTURES[model.backbone].min_image_size
    fits = next((size for size in _SIZES if least <= size < published and size >= facts["median"]), published)
    if fits == published:
        why = f"The size that {model.backbone} was pretrained with."
    else:
        why = (
            f"Half of the images have a shorter side of {facts['median']} pixels or less: the {published} that "
            f"{model.backbone} was pretrained with would only enlarge them."
        )
    return Suggestion("model.image_size", fits, why)


def _weights(classes: Counter[str], settings: RunSettings, given: bool) -> Suggestion:
    key = "training.class_weights"
    if given or len(classes) < 2:
        return Suggestion(key, settings.training.class_weights, "`none` or `balanced`.")
    (large, most), *_, (small, fewest) = classes.most_common()
    ratio = f"{large} has {most / fewest:.1f} times as many images as {small}"
    if most <= UNBALANCED * fewest:
        return Suggestion(key, "none", f"{ratio}. With `balanced`, images of rare classes weigh more.")
    return Suggestion(
        key, "balanced", f"{ratio}, so those of rare classes weigh more; their probabilities are tilted upwards by it."
    )


def _augmentation(classes: Counter[str], settings: RunSettings) -> Iterator[Suggestion]:
    group, given = "training.augmentation", settings.training.augmentation
    reason = _mirrored(list(classes))
    yield Suggestion(
        f"{group}.flip_horizontal",
        given.flip_horizontal and not reason,
        reason or "Mirrors half of the images; false if left and right carry meaning.",
    )
    why = "Remove the # of what also happens to the images that the model will see."
    for key, value, what in (
        ("flip_vertical", True, f"{why} Views from above, microscopes:"),
        ("quarter_turns", True, "Images without a natural orientation:"),
        ("rotation", 10, "Cameras held by hand, in degrees:"),
        ("crop", 0.7, "Objects at other distances; the least share of the area that is kept:"),
    ):
        if getattr(given, key) == type(given).model_fields[key].default:
            yield Suggestion(f"{group}.{key}", value, what, hint=True)


def _mirrored(names: Sequence[str]) -> str:
    """Return why images must not be mirrored, by the names of their classes; empty if these do not tell."""
    sided = [name for name in names if _SIDES & set(re.split(r"[\W_]+", name.lower()))]
    if sided:
        return f"The class {sided[0]} names a side, which a mirrored image would not have."
    if len(names) > 1 and all(len(name) == 1 or name.isdecimal() for name in names):
        return "The classes are digits or letters, which are not the same mirrored."
    return ""


def _chance(classes: Counter[str]) -> str:
    if not classes:
        return ""
    [(largest, count)] = classes.most_common(1)
    return f"A model that always answers {largest} is right for {count / classes.total():.1%} of these images."

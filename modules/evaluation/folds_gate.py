"""Judge the SavedModel by a cross-validation of heads on all images. It can refuse a model, and never blesses one.

The heads of the folds are other models than the one that is judged: they have a frozen backbone under them. So their
accuracy is not compared with the threshold. It tells how much easier or harder the test images are than all images,
and the model's accuracy on the test images is corrected by that (`modules.evaluation.double_sampling`). The model is
refused if even the upper end of the corrected accuracy's interval is below `evaluation.min_accuracy`.

The interval takes the N answers as independent. It ignores that any two heads share most of their training images, so
that their errors are correlated: it is that of the heads as they were trained and not of other trainings (Bengio and
Grandvalet 2004, "No unbiased estimator of the variance of k-fold cross-validation").
"""

from __future__ import annotations

import numpy as np

from edgetune.modules.core.errors import DataError
from edgetune.modules.evaluation.answers import Answers, read_answers
from edgetune.modules.evaluation.double_sampling import double_sampling
from edgetune.modules.evaluation.gates import FOLDS, SAVED_MODEL, UPPER_BOUND, Gate
from edgetune.modules.evaluation.intervals import wilson
from edgetune.modules.evaluation.verdict import ROUNDING
from edgetune.modules.settings.run import EvaluationSettings

_WHAT = "accuracy, corrected by cross-validation,"
_AGAIN = "run again with --no-cache, or set evaluation.folds to 0"
_REMEDY = "the test images are easier than the others: add images, or let a larger share of them be the test split"


def folds_gate(answers: Answers, cross_validation: str | None, images: int, settings: EvaluationSettings) -> Gate:
    """Judge the SavedModel; what cannot be read, or is of other images, refuses it.

    Args:
        answers: Its answers to all test images.
        cross_validation: Folder or URL of a `CrossValidation` artifact; None if there is none.
        images: Number of images in all splits.
        settings: `min_accuracy`.
    """
    try:
        if cross_validation is None:
            raise DataError("there is no cross-validation")
        return judge(answers, read_answers(cross_validation, probabilities=False), images, settings)
    except DataError as error:
        needed = settings.min_accuracy
        return Gate(FOLDS, SAVED_MODEL, _WHAT, needed, passed=False, reason=error.cause, remedy=_AGAIN)


def judge(answers: Answers, out_of_fold: Answers, images: int, settings: EvaluationSettings) -> Gate:
    """Judge the SavedModel by answers out of fold to all images.

    Raises:
        DataError: They are not answers to all images, or their classes are others.
    """
    if len(out_of_fold) != images:
        raise DataError(f"the cross-validation answered {len(out_of_fold):,} of {images:,} images")
    tested = _rows(answers, out_of_fold)
    right = out_of_fold.correct
    elsewhere = np.delete(right, tested)
    estimate, low, high = double_sampling(answers.correct, right[tested], elsewhere)
    heads = Gate(FOLDS, SAVED_MODEL, "", None, None)  # formats shares
    of_heads = wilson(int(right.sum()), images) or (0.0, 1.0)
    passed = bool(high >= settings.min_accuracy - ROUNDING)
    return Gate(
        name=FOLDS,
        subject=SAVED_MODEL,
        what=_WHAT,
        measured=estimate,
        low=low,
        high=high,
        needed=settings.min_accuracy,
        images=images,
        judged=UPPER_BOUND,
        passed=passed,
        reason=(
            f"heads on the frozen backbone are right on {heads.value(float(right.mean()))} of all images out of fold "
            f"({heads.value(of_heads[0])} to {heads.value(of_heads[1])}) and on "
            f"{heads.value(float(right[tested].mean()))} of the test images; it can only refuse"
        ),
        remedy="" if passed else _REMEDY,
    )


def _rows(answers: Answers, out_of_fold: Answers) -> np.ndarray:
    """Return the row of `out_of_fold` for each test image, int `[n]`; files with the same pixels have a row each."""
    if not len(answers):
        raise DataError("there are no test images")
    waiting: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(out_of_fold.image_id, out_of_fold.label, strict=True)):
        waiting.setdefault(key, []).append(row)
    found = []
    for key in zip(answers.image_id, answers.label, strict=True):
        if not waiting.get(key):
            raise DataError(f"the cross-validation did not answer the test image {key[0]} of the class {key[1]}")
        found.append(waiting[key].pop())
    return np.array(found)

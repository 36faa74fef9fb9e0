"""Find images whose label is probably wrong, and images that resemble no other, from features of a frozen network.

Each image is judged by a classifier that has seen neither it nor an image of its group. Two numbers come of the
probabilities: how many labels are wrong, and which.

- How many: the confident joint of Northcutt et al., "Confident Learning: Estimating Uncertainty in Dataset Labels",
  2021, as `cleanlab` counts it.
- Which: the images with the lowest probability of the given class (self-confidence) among those for which another class
  is more probable. Of the scores that `python -m benchmarks.data.label_errors` compares, it finds most flipped labels.

Outliers are images whose distance from their nearest neighbours is far above that of most images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgetune.modules.core.errors import DataError
from edgetune.modules.data.folds import divide

FOLDS = 5
"""Parts of the images; a classifier learns from all but one. Fewer if the largest class has fewer images."""
MOST_PROBABILITIES = 20_000_000
"""Images times classes that are judged: 20,000 images of 1,000 classes. Their probabilities take 80 MB as float32, and
cleanlab makes several arrays of this size; a step of a regression that learns from all of them on 1,280 features is
10^11 operations."""
INVERSE_PENALTY = 1.0
"""Inverse strength of the L2 penalty of the classifier, `C` of scikit-learn times the number of features: the mean
square of standardized features is 1, so that of a whole image grows with their number."""
MOST_TRAINED = 20_000
"""Images that a classifier learns from, and that neighbours are sought among; a random part of more."""
NEIGHBOURS = 10
FENCE = 1.5
"""Images are outliers if the mean cosine distance of their neighbours is above the third quartile of all images by
more than this many times the range between the quartiles: Tukey, "Exploratory Data Analysis", 1977. A multiple of the
median would take a quarter of some data for outliers, where one class is much denser than the others."""


@dataclass(frozen=True)
class Suspect:
    """An image whose label is probably wrong."""

    row: int
    given: int
    """Index of the class that the image is labelled with."""
    looks_like: int
    """Index of the class with the highest probability."""
    score: float
    """Probability of the given class, 0..1: the lower, the more likely the label is wrong."""


@dataclass(frozen=True)
class Outlier:
    """An image that resembles no other."""

    row: int
    score: float
    """Mean distance of its neighbours, in medians of this distance over all images."""


def out_of_fold(features: np.ndarray, label: np.ndarray, group: np.ndarray, classes: int) -> np.ndarray:
    """Return the probabilities of each image by a logistic regression that has not seen its group.

    Args:
        features: float32 `[N, c]`: pooled features of the pretrained backbone, of the images without augmentation.
        label: int `[N]`, 0 to `classes - 1`.
        group: bytes or str `[N]`: images of one group are in one fold.
        classes: Number of classes, C.

    Returns:
        float32 `[N, C]`. A row is NaN if the image cannot be judged: all images of its class are in its own fold, or
        there are too few groups. All are, in a read-only array that takes no memory, if there are more than
        `MOST_PROBABILITIES`.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(label) * classes > MOST_PROBABILITIES:
        return np.broadcast_to(np.float32(np.nan), (len(label), classes))
    found = np.full((len(label), classes), np.nan, np.float32)
    largest_class = int(np.bincount(label).max(initial=0))
    try:
        fold_of = divide(label, group, max(2, min(FOLDS, len(np.unique(group)), largest_class)))
    except DataError:
        return found
    random = np.random.default_rng(0)
    for fold in range(fold_of.max() + 1):
        train = np.flatnonzero(fold_of != fold)
        if len(train) > MOST_TRAINED:
            train = np.sort(random.choice(train, MOST_TRAINED, replace=False))
        known = np.unique(label[train])
        rows = np.flatnonzero((fold_of == fold) & np.isin(label, known))
        if len(known) < 2 or not len(rows):
            continue
        regression = LogisticRegression(C=INVERSE_PENALTY / features.shape[1], max_iter=1000)
        classifier = make_pipeline(StandardScaler(), regression)
        classifier.fit(features[train], label[train])
        found[rows] = 0.0
        found[np.ix_(rows, known)] = classifier.predict_proba(features[rows])
    return found


def judged(probabilities: np.ndarray) -> np.ndarray:
    """Return which images were judged, bool `[N]`.

    Args:
        probabilities: float `[N, C]`, as `out_of_fold` returns them.
    """
    return ~np.isnan(probabilities[:, 0])


def suspects(probabilities: np.ndarray, label: np.ndarray) -> list[Suspect]:
    """Return the images whose label is probably wrong, the most likely ones first.

    Args:
        probabilities: float `[N, C]`, as `out_of_fold` returns them.
        label: int `[N]`.

    Returns:
        As many as confident learning estimates labels to be wrong.
    """
    rows = np.flatnonzero(judged(probabilities))
    kept, given = np.unique(label[rows], return_inverse=True)
    if len(kept) < 2:
        return []
    from cleanlab.count import num_label_issues

    # A class without a judged image is not among the answers.
    of_kept = probabilities[np.ix_(rows, kept)]
    np.maximum(of_kept, np.finfo(of_kept.dtype).tiny, out=of_kept)
    of_kept /= of_kept.sum(axis=1, keepdims=True)
    number = int(num_label_issues(given, of_kept))
    del of_kept
    confidence = probabilities[rows, label[rows]]
    other = probabilities.argmax(axis=1)[rows]
    candidates = np.flatnonzero(other != label[rows])
    order = candidates[np.argsort(confidence[candidates], kind="stable")][:number]
    return [
        Suspect(int(rows[at]), int(label[rows[at]]), int(other[at]), float(confidence[at])) for at in order.tolist()
    ]


def outliers(features: np.ndarray) -> list[Outlier]:
    """Return the images that resemble no other, the most distant first.

    Args:
        features: float32 `[N, c]`.
    """
    if len(features) <= NEIGHBOURS + 1:
        return []
    from sklearn.neighbors import NearestNeighbors

    among = np.arange(len(features))
    if len(among) > MOST_TRAINED:
        among = np.sort(np.random.default_rng(0).choice(among, MOST_TRAINED, replace=False))
    search = NearestNeighbors(n_neighbors=NEIGHBOURS + 1, metric="cosine", algorithm="brute").fit(features[among])
    near, which = search.kneighbors(features)
    # An image is not its own neighbour; one that is not searched among, or has many equals, loses its last one.
    own = among[which] == np.arange(len(features))[:, np.newaxis]
    own[~own.any(axis=1), -1] = True
    distance = near[~own].reshape(len(features), NEIGHBOURS).mean(axis=1)
    median = float(np.median(distance))
    # Equal images have distances of rounding.
    if median < 1e-6:
        return []
    first, third = np.percentile(distance, [25, 75])
    far = np.flatnonzero(distance > third + FENCE * (third - first))
    order = far[np.argsort(-distance[far], kind="stable")]
    return [Outlier(int(row), float(distance[row] / median)) for row in order.tolist()]


def accuracy(probabilities: np.ndarray, label: np.ndarray) -> float:
    """Return the share of judged images whose given class is the most probable one; NaN if none is judged."""
    rows = judged(probabilities)
    if not rows.any():
        return float("nan")
    return float((probabilities.argmax(axis=1) == label)[rows].mean())

"""Exact one-sided tests of whether a classifier is worse than others on the images that all of them answered.

A test on the same images does not see how hard the images are: only those count that one classifier got right and
another wrong.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

ALPHA = 0.05
"""Share of equally good models that a verdict may take for worse: the sum over all comparisons of one verdict."""


def worse(lost: int, won: int) -> float:
    """Return the p-value of McNemar's exact one-sided test.

    If two classifiers are equally good, each image that only one of them got right is as likely to be won as lost
    (McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages"; exact
    by the binomial distribution).

    Args:
        lost: Number of images that only the other classifier got right.
        won: Number of images that only this classifier got right.

    Returns:
        The probability of at least `lost` losses if both are equally good: near 0 if this one is worse.
    """
    if not lost + won:
        return 1.0
    return float(stats.binomtest(lost, lost + won, 0.5, alternative="greater").pvalue)


def worse_than_group(correct: np.ndarray, right: np.ndarray, asked: np.ndarray) -> float:
    """Return the p-value of an exact one-sided test of a classifier against a group of others.

    If the classifier is as good as those of the group, it is exchangeable with them: of the `right + correct` right
    answers to an image, one is its own with the probability `(right + correct) / (asked + 1)`. So the number of its
    right answers, given those of all together, is a sum of independent trials with these probabilities. This is the
    conditional exact test for matched sets (Breslow and Day 1980, "Statistical methods in cancer research", volume 1,
    section 5.3: one case with R controls); with a group of one it is McNemar's.

    Args:
        correct: bool `[N]`: whether the classifier is right.
        right: int `[N]`: how many of the group are right.
        asked: int `[N]`: how many of the group were asked, at least one.

    Returns:
        The probability of no more right answers than observed: near 0 if this classifier is worse.
    """
    together = right + correct
    informative = (together > 0) & (together <= asked)
    pairs, counts = np.unique(np.stack([together[informative], asked[informative] + 1]), axis=1, return_counts=True)
    distribution = np.ones(1)
    for (of_these, of_all), count in zip(pairs.T, counts, strict=True):
        trials = stats.binom.pmf(np.arange(count + 1), count, of_these / of_all)
        distribution = np.convolve(distribution, trials)
    return min(1.0, float(distribution[: int(correct[informative].sum()) + 1].sum()))

"""Double sampling: unbiased, as wide as it should be, and narrower than the test split alone where both agree."""

from __future__ import annotations

import numpy as np
import pytest

from edgetune.modules.evaluation.double_sampling import double_sampling
from edgetune.modules.evaluation.intervals import wilson


def drawn(seed: int, both: int, others: int, model: float, proxy: float, shared: float):
    """Return answers of a model and a proxy that are right with these probabilities, and correlated."""
    random = np.random.default_rng(seed)
    common = random.random(both + others)
    own = random.random((2, both + others))
    is_shared = random.random(both + others) < shared
    f, h = (np.where(is_shared, common, mine) < share for mine, share in zip(own, (model, proxy), strict=True))
    return f[:both], h[:both], h[both:]


@pytest.mark.parametrize(
    ("both", "model", "proxy", "bias"),
    # Estimates above 1 are cut there, which are many with a poor proxy.
    [(30, 0.8, 0.7, 0.006), (30, 0.95, 0.8, 0.01), (100, 0.9, 0.9, 0.003), (40, 0.97, 0.5, 0.02)],
)
def test_the_estimate_is_unbiased_and_the_interval_covers_the_truth(both, model, proxy, bias):
    made = [double_sampling(*drawn(seed, both, 9 * both, model, proxy, 0.8)) for seed in range(1000)]
    estimates, low, high = np.array(made).T
    assert estimates.mean() == pytest.approx(model, abs=bias)
    assert ((low <= model) & (model <= high)).mean() >= 0.93
    assert (high < model).mean() <= 0.06  # refused, though the model is just good enough


@pytest.mark.parametrize(("images", "narrower"), [(200, 2.7), (5000, 10**0.5)])
def test_with_the_same_answers_the_interval_is_that_of_all_images(images, narrower):
    right = np.arange(10 * images) % 20 < 17
    estimate, low, high = double_sampling(right[:images], right[:images], right[images:])
    assert estimate == pytest.approx(0.85)
    of_test = wilson(int(right[:images].sum()), images)
    assert of_test
    # Of few images, the half that is added counts.
    assert (of_test[1] - of_test[0]) / (high - low) == pytest.approx(narrower, rel=0.05)


def test_lucky_test_images_are_corrected():
    # Both are right on all 20 test images, and the proxy on 120 of the other 180.
    estimate, low, high = double_sampling(np.ones(20, bool), np.ones(20, bool), np.arange(180) < 120)
    assert estimate == pytest.approx(140 / 200)
    assert 0.55 < low < 0.7 < high < 0.85


def test_a_proxy_that_is_worse_by_the_same_share_everywhere_takes_nothing_away():
    correct, proxy = np.ones(100, bool), np.arange(100) >= 20
    estimate, low, high = double_sampling(correct, proxy, np.arange(900) >= 180)
    assert estimate == pytest.approx(1.0) and low < 1.0 and high == 1.0


def test_all_right_answers_have_an_interval_with_a_width():
    estimate, low, high = double_sampling(np.ones(20, bool), np.ones(20, bool), np.ones(180, bool))
    assert estimate == high == 1.0 and 0.88 < low < 1.0


def test_without_other_images_it_is_the_accuracy_on_the_test_images():
    estimate, low, high = double_sampling(np.arange(40) < 30, np.zeros(40, bool), np.zeros(0, bool))
    expected = wilson(30, 40)
    assert estimate == pytest.approx(0.75) and expected
    assert (low, high) == pytest.approx(expected, abs=0.03)


def test_without_a_common_image_there_is_no_estimate():
    with pytest.raises(ValueError, match="0 and 0 answers"):
        double_sampling(np.zeros(0, bool), np.zeros(0, bool), np.ones(10, bool))

"""Metrics against plain loops, scikit-learn and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from whodrives.errors import InputError
from whodrives.evaluation.metrics import eer, error_rates, roc_auc, tar_at_far, threshold_at_far

SCORES = st.lists(st.integers(-20, 20), min_size=1, max_size=30)


def loop_auc(genuine: list[int], impostor: list[int]) -> float:
    wins = 0.0
    for g in genuine:
        for i in impostor:
            wins += 1.0 if g > i else 0.5 if g == i else 0.0
    return wins / (len(genuine) * len(impostor))


@given(SCORES, SCORES)
def test_auc_is_the_naive_loop_and_scikit_learn(genuine: list[int], impostor: list[int]) -> None:
    auc = roc_auc(genuine, impostor)
    assert auc == pytest.approx(loop_auc(genuine, impostor), abs=1e-12)
    labels = [1] * len(genuine) + [0] * len(impostor)
    assert auc == pytest.approx(roc_auc_score(labels, genuine + impostor), abs=1e-12)


@given(SCORES, SCORES)
def test_auc_ignores_monotone_maps_and_mirrors(genuine: list[int], impostor: list[int]) -> None:
    g, i = np.array(genuine, dtype=float), np.array(impostor, dtype=float)
    auc = roc_auc(g, i)
    assert roc_auc(np.exp(g / 10) * 3 - 7, np.exp(i / 10) * 3 - 7) == pytest.approx(auc, abs=1e-12)
    assert roc_auc(-g, -i) == pytest.approx(1 - auc, abs=1e-12)
    assert roc_auc(i, g) == pytest.approx(1 - auc, abs=1e-12)


@given(SCORES, st.floats(0, 1))
def test_threshold_keeps_its_promise_and_is_the_smallest(impostor: list[int], far: float) -> None:
    scores = np.array(impostor, dtype=float)
    threshold = threshold_at_far(scores, far)
    assert (scores >= threshold).mean() <= far + 1e-9
    lower = scores[scores < threshold]
    if lower.size:
        assert (scores >= lower.max()).mean() > far - 1e-9


def test_error_rates_by_hand() -> None:
    thresholds, far, frr = error_rates([0.2, 0.6, 0.9], [0.1, 0.6])
    assert thresholds.tolist() == [0.1, 0.2, 0.6, 0.9, np.inf]
    assert far.tolist() == [1.0, 0.5, 0.5, 0.0, 0.0]
    assert frr == pytest.approx([0, 0, 1 / 3, 2 / 3, 1])
    assert eer([0.2, 0.6, 0.9], [0.1, 0.6]) == pytest.approx((0.5 + 1 / 3) / 2)
    assert tar_at_far([0.2, 0.6, 0.9], [0.1, 0.6], 0.0) == pytest.approx(1 / 3)
    assert eer([1, 2], [-1, 0]) == 0


def test_missing_and_nan_scores_are_errors() -> None:
    with pytest.raises(InputError, match="no genuine"):
        roc_auc([], [1.0])
    with pytest.raises(InputError, match="1 of 2 impostor scores are NaN"):
        roc_auc([1.0], [np.nan, 0.0])
    with pytest.raises(InputError, match=r"0\.\.1"):
        threshold_at_far([1.0], 1.5)

"""Weighted AUCs against trials copied out, and intervals of trials against those of pairs and targets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whodrives.errors import InputError
from whodrives.evaluation.intervals import pairs_interval, per_target_interval
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.metrics import roc_auc
from whodrives.evaluation.pooling import TrialScores, collect
from whodrives.evaluation.protocols import Pairs
from whodrives.evaluation.trial_intervals import difference_interval, mean_interval, trials_interval
from whodrives.evaluation.trial_statistic import weighted_auc
from whodrives.evaluation.trials import PROTOCOLS

PEOPLE = 5


def study(seed: int) -> VideoLabels:
    """Everybody drives everybody, two recordings each."""
    grid = [(d, t, r) for d in range(PEOPLE) for t in range(PEOPLE) for r in range(2)]
    driver, target, take = (np.array([f"p{row[n]}" for row in grid]) for n in range(3))
    count = len(grid)
    return VideoLabels(
        driver=driver,
        target=target,
        recording=take,
        generator=np.full(count, "x"),
        source=np.full(count, ""),
        content=np.full(count, ""),
        is_self=driver == target,
        is_original=np.zeros(count, bool),
    )


def scored(seed: int, protocol: str, strength: float = 1.0) -> TrialScores:
    labels = study(seed)
    rng = np.random.default_rng(seed)
    vectors = strength * rng.normal(size=(PEOPLE, 6))[labels.driver_code] + rng.normal(size=(len(labels), 6))
    # Coarse scores, so that there are ties.
    found = collect(vectors, labels, PROTOCOLS[protocol])
    rounded = np.round(found.score, 1)
    return TrialScores(
        rounded,
        found.genuine,
        found.first,
        found.second,
        found.target,
        found.drivers,
        found.targets,
        found.per_target,
    )


@pytest.mark.parametrize("protocol", ["per_target_mean", "pooled", "cross_target", "recordings"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), weights=st.lists(st.integers(0, 3), min_size=PEOPLE, max_size=PEOPLE))
def test_weighted_people_are_copied_people(protocol: str, seed: int, weights: list[int]) -> None:
    scores = scored(seed, protocol)
    found = weighted_auc(scores)(np.array(weights, float))
    w = np.array(weights)
    genuine_times, impostor_times = w[scores.first], w[scores.first] * w[scores.second]
    values, shares = [], []
    for code in np.unique(scores.target) if scores.per_target else [None]:
        rows = np.ones(len(scores.score), bool) if code is None else scores.target == code
        genuine, impostor = rows & scores.genuine, rows & ~scores.genuine
        owner = scores.first[genuine][0] if code is not None else None
        if code is None:
            copies = [
                np.repeat(scores.score[genuine], genuine_times[genuine]),
                np.repeat(scores.score[impostor], impostor_times[impostor]),
            ]
            share = 1
        else:
            other = np.where(scores.first[impostor] == owner, scores.second[impostor], scores.first[impostor])
            copies = [scores.score[genuine], np.repeat(scores.score[impostor], w[other])]
            share = int(w[owner])
        if share and copies[0].size and copies[1].size:
            values.append(roc_auc(*copies))
            shares.append(share)
    if not values:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(float(np.average(values, weights=shares)), abs=1e-6)


@pytest.mark.parametrize("protocol", ["pooled", "cross_target", "recordings"])
def test_the_interval_is_that_of_pairs(protocol: str) -> None:
    scores = scored(3, protocol)
    pairs = Pairs(
        scores.score.astype(np.float64), scores.genuine, scores.drivers[scores.first], scores.drivers[scores.second]
    )
    ours, theirs = trials_interval(scores), pairs_interval(pairs)
    assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high), abs=1e-9)


def test_the_interval_is_that_of_targets() -> None:
    labels = study(0)
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(PEOPLE, 6))[labels.driver_code] + rng.normal(size=(len(labels), 6))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    ours = trials_interval(collect(vectors, labels, PROTOCOLS["per_target_mean"]))
    theirs = per_target_interval(unit @ unit.T, labels.driver, labels.target, labels.is_self)
    assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high), abs=1e-5)


@pytest.mark.parametrize("protocol", ["per_target_mean", "cross_target"])
def test_means_and_differences_of_networks(protocol: str) -> None:
    strong, weak = scored(5, protocol, 2.0), scored(5, protocol, 0.5)
    mean = mean_interval([strong, weak])
    assert mean.value == pytest.approx((strong.auc() + weak.auc()) / 2)
    same = difference_interval([strong, weak], [strong, weak])
    assert (same.value, same.low, same.high) == (0, 0, 0)
    apart = difference_interval([strong], [weak])
    assert apart.value == pytest.approx(strong.auc() - weak.auc())
    assert apart.low < apart.value < apart.high
    with pytest.raises(InputError, match="different trials"):
        difference_interval([strong], [scored(5, "pooled")])
    with pytest.raises(InputError, match="no scored trials"):
        mean_interval([])

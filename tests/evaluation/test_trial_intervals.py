"""Weighted AUCs against trials copied out, and intervals of trials against those of pairs and targets."""

from dataclasses import replace

import numpy as np
import pytest

from whodrives.errors import InputError
from whodrives.evaluation.intervals import pairs_interval, per_target_interval
from whodrives.evaluation.labels import VideoLabels
from whodrives.evaluation.pooling import TrialScores, collect
from whodrives.evaluation.protocols import Pairs
from whodrives.evaluation.resampling import leave_one_out_interval
from whodrives.evaluation.trial_intervals import difference_interval, mean_interval, trials_interval
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
    return replace(found, score=np.round(found.score, 1))


@pytest.mark.parametrize("protocol", ["pooled", "cross_target", "recordings"])
def test_the_interval_is_that_of_pairs(protocol: str) -> None:
    scores = scored(3, protocol)
    pairs = Pairs(
        scores.score.astype(np.float64),
        scores.genuine,
        scores.drivers[scores.first],
        scores.drivers[scores.second],
        scores.targets[scores.first_face],
        scores.targets[scores.second_face],
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


def test_impostor_trials_without_the_owner_leave_with_both_of_their_people() -> None:
    """Faces that show their owner in two recordings and everybody else in one: only the owner has genuine trials, but
    linkability also compares the others with one another."""
    labels = study(0)
    labels = labels.select(labels.is_self | (labels.recording == "p0"))
    vectors = np.random.default_rng(8).normal(size=(len(labels), 4))
    scores = collect(vectors, labels, PROTOCOLS["single_target"])
    left_out = []
    for person in labels.drivers:
        keep = labels.driver != person
        left_out.append(collect(vectors[keep], labels.select(keep), PROTOCOLS["single_target"]).auc())
    expected = leave_one_out_interval(scores.auc(), np.array(left_out))
    found = trials_interval(scores)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)

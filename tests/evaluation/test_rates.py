"""Weighted error rates against copies of trials, and their intervals against resamples one by one."""

import numpy as np
import pytest

from whodrives.evaluation.intervals import metric_interval
from whodrives.evaluation.metrics import eer, tar_at_far
from whodrives.evaluation.pooling import TrialScores
from whodrives.evaluation.protocols import Pairs
from whodrives.evaluation.rates import WeightedTrials, rate_intervals, weighted_eer, weighted_tar

PEOPLE, FARS = 7, (0.01, 0.1, 0.3)


def trials(seed: int, count: int = 400) -> TrialScores:
    """Trials of people among themselves, in coarse scores, so that there are ties."""
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, PEOPLE, (2, count)).astype(np.int32)
    genuine = rng.random(count) < 0.3
    second = np.where(genuine, first, np.where(first == second, (second + 1) % PEOPLE, second)).astype(np.int32)
    score = np.round(rng.normal(size=count) + genuine * (1 + 0.2 * first), 1).astype(np.float32) / 8
    none, names = np.full(count, -1, np.int32), np.array([f"p{n}" for n in range(PEOPLE)])
    return TrialScores(score, genuine, first, second, none, none, none, names, names, per_target=False)


@pytest.mark.parametrize("seed", range(5))
def test_weights_are_copies(seed: int) -> None:
    scores = trials(seed)
    weighted = WeightedTrials.make(scores)
    rng = np.random.default_rng(seed)
    for copies in (np.ones(PEOPLE, np.int64), *rng.multinomial(PEOPLE, np.full(PEOPLE, 1 / PEOPLE), 10)):
        times = copies[scores.first] * np.where(scores.genuine, 1, copies[scores.second])
        copied = [np.repeat(scores.score[kind], times[kind]) for kind in (scores.genuine, ~scores.genuine)]
        counts = weighted.counts(copies)
        if not all(part.size for part in copied):
            assert np.isnan(weighted_eer(*counts))
            assert np.isnan(weighted_tar(*counts, 0.1))
            continue
        assert weighted_eer(*counts) == pytest.approx(eer(*copied), abs=1e-12)
        for far in FARS:
            assert weighted_tar(*counts, far) == pytest.approx(tar_at_far(*copied, far), abs=1e-12)


def test_intervals_are_those_of_any_metric() -> None:
    scores = trials(3)
    pairs = Pairs(scores.score.astype(np.float64), scores.genuine, scores.first, scores.second)
    found, tars = rate_intervals(scores, FARS, seed=4, rounds=60)
    expected = metric_interval(pairs, eer, rounds=60, seed=4)
    assert found == pytest.approx((expected.low, expected.high), abs=1e-12)
    for far in FARS:
        one = metric_interval(pairs, lambda own, other, rate=far: tar_at_far(own, other, rate), rounds=60, seed=4)  # type: ignore[misc]
        assert tars[far] == pytest.approx((one.low, one.high), abs=1e-12)


def test_a_part_of_the_trials_gives_nearly_the_same_interval() -> None:
    scores = trials(0, 60_000)
    whole, part = (WeightedTrials.make(scores, most=most, seed=1) for most in (10**6, 5000))
    assert (len(whole.code), len(part.code)) == (60_000, 10_000)
    everybody = np.ones(PEOPLE, np.int64)
    assert weighted_eer(*part.counts(everybody)) == pytest.approx(weighted_eer(*whole.counts(everybody)), abs=0.02)


def test_too_few_people_have_no_interval() -> None:
    scores = trials(0)
    keep = (scores.first < 2) & (scores.second < 2)
    names = ("score", "genuine", "first", "second", "first_face", "second_face", "target")
    two = TrialScores(
        *(getattr(scores, name)[keep] for name in names), scores.drivers, scores.targets, per_target=False
    )
    assert rate_intervals(two, FARS) == (None, {})

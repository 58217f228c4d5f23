"""Intervals over people of AUCs of scored trials: of one network, of the mean of several, of a difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.intervals import LEVEL, ROUNDS, SEED, Interval
from whodrives.evaluation.pooling import TrialScores
from whodrives.evaluation.trial_statistic import weighted_auc

METHOD = "people, drivers and targets together"
Statistic = Callable[[NDArray[np.float64]], float]


def trials_interval(scores: TrialScores, rounds: int = ROUNDS, seed: int = SEED, level: float = LEVEL) -> Interval:
    """AUC of trials with its interval. Raises InputError without trials of both kinds."""
    return mean_interval([scores], rounds, seed, level)


def mean_interval(
    scores: Sequence[TrialScores], rounds: int = ROUNDS, seed: int = SEED, level: float = LEVEL
) -> Interval:
    """Mean AUC of several networks (training seeds) on the same trials: people are drawn once for all of them.

    The interval says how it would be with other people, not with other training seeds; give those beside.

    Raises InputError when the trials are not the same.
    """
    _same_trials(scores)
    statistics = [weighted_auc(one) for one in scores]
    return _interval(
        lambda w: float(np.mean([one(w) for one in statistics])), statistics[0].people, rounds, seed, level
    )


def difference_interval(
    first: Sequence[TrialScores],
    second: Sequence[TrialScores],
    rounds: int = ROUNDS,
    seed: int = SEED,
    level: float = LEVEL,
) -> Interval:
    """Mean AUC of `first` minus that of `second` on the same trials, paired: the same people in every resample.

    Raises InputError when the trials are not the same.
    """
    _same_trials([*first, *second])
    one, two = [weighted_auc(scores) for scores in first], [weighted_auc(scores) for scores in second]

    def value(weights: NDArray[np.float64]) -> float:
        return float(np.mean([f(weights) for f in one]) - np.mean([f(weights) for f in two]))

    return _interval(value, one[0].people, rounds, seed, level)


def _same_trials(scores: Sequence[TrialScores]) -> None:
    if not scores:
        raise InputError("no scored trials given")
    first = scores[0]
    for other in scores[1:]:
        same = len(first.score) == len(other.score) and np.array_equal(first.drivers, other.drivers)
        names = ("genuine", "first", "second", "target")
        if not same or not all(np.array_equal(getattr(first, name), getattr(other, name)) for name in names):
            raise InputError("the networks were scored on different trials; evaluate them on the same videos")


def _interval(statistic: Statistic, people: int, rounds: int, seed: int, level: float) -> Interval:
    rng = np.random.default_rng(seed)
    draws = [
        statistic(np.bincount(rng.integers(people, size=people), minlength=people).astype(np.float64))
        for _ in range(rounds)
    ]
    kept = np.array(draws)[np.isfinite(draws)]
    if not kept.size:
        raise InputError("no resample of people held both kinds of trials; there are too few people")
    low, high = np.percentile(kept, [50 * (1 - level), 50 * (1 + level)])
    return Interval(statistic(np.ones(people)), float(low), float(high), len(kept))

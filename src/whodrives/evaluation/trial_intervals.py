"""Intervals over people of AUCs of scored trials: of one network, of the mean of several, of a difference.

The method is that of `intervals`: every person is left out in turn, as driver and as target at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.pooling import TrialScores
from whodrives.evaluation.resampling import LEVEL, Interval, leave_one_out_interval
from whodrives.evaluation.trial_statistic import weighted_auc

METHOD = "every person left out in turn, as driver and as target (docs/intervals.md)"


@dataclass(frozen=True, eq=False)
class _Leaves:
    """value : AUC. left_out (P,) : without each person. meetings : see `WeightedAuc`."""

    value: float
    left_out: NDArray[np.float64]
    meetings: NDArray[np.float64]

    def interval(self, level: float, share: bool) -> Interval:
        # Half of what is counted twice: docs/intervals.md says why neither all nor none.
        shared = float((self.meetings**2).sum()) / 2
        return leave_one_out_interval(self.value, self.left_out, shared, level, share)


def _leaves(scores: Sequence[TrialScores]) -> _Leaves:
    """Of the mean of several networks."""
    statistics = [weighted_auc(one) for one in scores]
    everybody = np.ones(statistics[0].people)
    # Who drives nothing in these trials cannot be left out of them.
    there = np.unique(np.concatenate((scores[0].first, scores[0].second)))
    left_out = np.array([np.mean([one(_without(everybody, p)) for one in statistics]) for p in there])
    return _Leaves(
        float(np.mean([one(everybody) for one in statistics])),
        left_out,
        np.mean([one.meetings for one in statistics], axis=0),
    )


def _without(weights: NDArray[np.float64], person: int) -> NDArray[np.float64]:
    out = weights.copy()
    out[person] = 0.0
    return out


def trials_interval(scores: TrialScores, level: float = LEVEL) -> Interval:
    """AUC of trials with its interval. Raises InputError without trials of both kinds, or for fewer than 3 people."""
    return mean_interval([scores], level)


def mean_interval(scores: Sequence[TrialScores], level: float = LEVEL) -> Interval:
    """Mean AUC of several networks (training seeds) on the same trials: people are left out of all at once.

    The interval says how it would be with other people, not with other training seeds; give those beside.

    Raises InputError when the trials are not the same.
    """
    _same_trials(scores)
    return _leaves(scores).interval(level, share=True)


def difference_interval(first: Sequence[TrialScores], second: Sequence[TrialScores], level: float = LEVEL) -> Interval:
    """Mean AUC of `first` minus that of `second` on the same trials, -1..1, paired: people are left out of both.

    Raises InputError when the trials are not the same.
    """
    _same_trials([*first, *second])
    one, two = _leaves(first), _leaves(second)
    both = _Leaves(one.value - two.value, one.left_out - two.left_out, one.meetings - two.meetings)
    return both.interval(level, share=False)


def _same_trials(scores: Sequence[TrialScores]) -> None:
    if not scores:
        raise InputError("no scored trials given")
    first = scores[0]
    for other in scores[1:]:
        same = len(first.score) == len(other.score) and first.per_target == other.per_target
        same = same and np.array_equal(first.drivers, other.drivers)
        names = ("genuine", "first", "second", "target")
        if not same or not all(np.array_equal(getattr(first, name), getattr(other, name)) for name in names):
            raise InputError("the networks were scored on different trials; evaluate them on the same videos")

"""Intervals over people of AUCs of scored trials: of one network, of the mean of several, of a difference.

The method is that of `intervals`: people are left out in turn, and faces too where a protocol crosses them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.intervals import Leaves, leaves_by_target, pair_leaves
from whodrives.evaluation.pooling import TrialScores
from whodrives.evaluation.protocols import Pairs
from whodrives.evaluation.resampling import LEVEL, Interval

METHOD = "people and faces left out in turn (docs/intervals.md)"


def trials_interval(scores: TrialScores, level: float = LEVEL) -> Interval:
    """AUC of trials with its interval. Raises InputError without trials of both kinds, or for fewer than 3 people."""
    return mean_interval([scores], level)


def mean_interval(scores: Sequence[TrialScores], level: float = LEVEL) -> Interval:
    """Mean AUC of several networks (training seeds) on the same trials: people are left out of all at once.

    The interval says how it would be with other people, not with other training seeds; give those beside.

    Raises InputError when the trials are not the same.
    """
    _same_trials(scores)
    return _mean(scores).interval(level, share=True)


def difference_interval(first: Sequence[TrialScores], second: Sequence[TrialScores], level: float = LEVEL) -> Interval:
    """Mean AUC of `first` minus that of `second` on the same trials, -1..1, paired: people are left out of both.

    Raises InputError when the trials are not the same.
    """
    _same_trials([*first, *second])
    return (_mean(first) - _mean(second)).interval(level, share=False)


def _mean(scores: Sequence[TrialScores]) -> Leaves:
    parts = [_leaves(one) for one in scores]

    def add(one: Leaves, two: Leaves) -> Leaves:
        faces = None if one.faces is None or two.faces is None else one.faces + two.faces
        return Leaves(one.value + two.value, one.left_out + two.left_out, faces, one.twice + two.twice)

    total, count = reduce(add, parts), len(parts)
    faces = None if total.faces is None else total.faces / count
    return Leaves(total.value / count, total.left_out / count, faces, total.twice / count)


def _leaves(scores: TrialScores) -> Leaves:
    if not scores.per_target:
        return pair_leaves(
            Pairs(
                scores.score.astype(np.float64),
                scores.genuine,
                scores.first,
                scores.second,
                scores.first_face,
                scores.second_face,
            )
        )
    people = np.unique(np.concatenate((scores.first, scores.second)))
    owners, won, counted = [], [], []
    for _, rows in scores.target_rows():
        kinds, score = scores.genuine[rows], scores.score[rows]
        if not kinds.any() or kinds.all():
            continue
        first, second = (np.searchsorted(people, side[rows]) for side in (scores.first, scores.second))
        if len(np.unique(first[kinds])) > 1:
            return _one_by_one(scores, people)
        owner = int(first[kinds][0])
        if not ((first == owner) | (second == owner))[~kinds].all():
            return _one_by_one(scores, people)
        other = np.where(first[~kinds] == owner, second[~kinds], first[~kinds])
        owners.append(owner)
        won.append(np.bincount(other, weights=_wins(score[kinds], score[~kinds]), minlength=len(people)))
        counted.append(np.bincount(other, minlength=len(people)).astype(np.float64))
    if not owners:
        raise InputError("no target has both genuine and impostor trials")
    return leaves_by_target(np.array(owners), np.stack(won), np.stack(counted))


def _wins(genuine: NDArray[np.float32], impostor: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each impostor score, the share of genuine ones above, ties counting half."""
    ordered = np.sort(genuine)
    below = np.searchsorted(ordered, impostor, "left") + np.searchsorted(ordered, impostor, "right")
    return np.asarray(1 - below / (2 * len(ordered)))


def _one_by_one(scores: TrialScores, people: NDArray[np.int32]) -> Leaves:
    """Where several drivers own a target's genuine trials, or impostor trials pass by the owner, as among all videos
    of one face: everything again without each person."""
    left_out = []
    for person in people:
        keep = (scores.first != person) & (scores.second != person)
        names = ("score", "genuine", "first", "second", "first_face", "second_face", "target")
        rest = replace(scores, **{name: getattr(scores, name)[keep] for name in names})
        try:
            left_out.append(rest.auc())
        except InputError:
            left_out.append(float("nan"))
    return Leaves(scores.auc(), np.array(left_out), None, np.empty(0))


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

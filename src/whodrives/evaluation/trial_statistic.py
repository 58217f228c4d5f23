"""AUC as a function of how often each person counts: what resampling people needs, computed from the trials once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.pooling import TrialScores

Weights = NDArray[np.float64]
# A table of wins has people ** 3 entries.
MAX_PEOPLE = 200


@dataclass(frozen=True, eq=False)
class WeightedAuc:
    """people : how many. value(weights (people,)) : the AUC when person p counts weights[p] times, NaN without trials.

    Genuine trials of a person drawn k times count k; an impostor trial of two people counts the product.
    meetings (Q,) : influence of the trials that two people share, by pair of people, for `leave_one_out_interval`;
    empty where nothing is to be taken off (docs/intervals.md).
    """

    people: int
    value: Callable[[Weights], float]
    meetings: Weights

    def __call__(self, weights: Weights) -> float:
        """`value`."""
        return self.value(weights)


def weighted_auc(scores: TrialScores) -> WeightedAuc:
    """The statistic of `TrialScores.auc` over weighted people, drivers and targets together.

    A target counts as often as the person whose genuine trials it has, since that is whose face it is.

    Raises
    ------
    InputError
        No trials of both kinds, or pooled trials of more than `MAX_PEOPLE` people.
    """
    return _by_target(scores) if scores.per_target else _pooled(scores)


def _wins(genuine: NDArray[np.float32], impostor: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each impostor score, the share of genuine ones above, ties counting half."""
    ordered = np.sort(genuine)
    below = np.searchsorted(ordered, impostor, "left") + np.searchsorted(ordered, impostor, "right")
    return 1 - below / (2 * len(ordered))


def _by_target(scores: TrialScores) -> WeightedAuc:
    """Per target: its own person, and what each other driver wins and counts as an impostor."""
    people = len(scores.drivers)
    owners, won, counted = [], [], []
    for _, rows in scores.target_rows():
        kinds, score = scores.genuine[rows], scores.score[rows]
        if not kinds.any() or kinds.all():
            continue
        first, second = scores.first[rows], scores.second[rows]
        owner = np.bincount(first[kinds], minlength=people).argmax()
        other = np.where(first[~kinds] == owner, second[~kinds], first[~kinds])
        owners.append(int(owner))
        won.append(np.bincount(other, weights=_wins(score[kinds], score[~kinds]), minlength=people))
        counted.append(np.bincount(other, minlength=people).astype(np.float64))
    if not owners:
        raise InputError("no target has both genuine and impostor trials")
    owner_of, wins, counts = np.array(owners), np.stack(won), np.stack(counted)

    def value(weights: Weights) -> float:
        trials = counts @ weights
        weight = np.where(trials > 0, weights[owner_of], 0.0)
        if weight.sum() <= 0:
            return float("nan")
        return float(weight @ ((wins @ weights) / np.maximum(trials, 1e-12)) / weight.sum())

    total = counts.sum(axis=1)
    mean = float((wins.sum(axis=1) / total).mean())
    meeting = np.zeros((people, people))
    np.add.at(meeting, owner_of, (wins - mean * counts) / total[:, None] / len(owners))
    return WeightedAuc(people, value, (meeting + meeting.T)[np.triu_indices(people, 1)])


def _pooled(scores: TrialScores) -> WeightedAuc:
    """wins[a, b, c] : what person a's genuine trials win against the impostor trials of b and c."""
    people = len(scores.drivers)
    if people > MAX_PEOPLE:
        raise InputError(f"{people} people: intervals of pooled trials are for up to {MAX_PEOPLE}; take some of them")
    order = np.argsort(scores.score, kind="stable")
    score, genuine = scores.score[order], scores.genuine[order]
    if not genuine.any() or genuine.all():
        raise InputError("an AUC needs at least one genuine and one impostor trial")
    first, second = scores.first[order], scores.second[order]
    pair = (np.minimum(first, second).astype(np.int64) * people + np.maximum(first, second))[~genuine]
    # Trials of equal score form one step; a genuine one in the same step counts half.
    step = np.cumsum(np.diff(score, prepend=score[:1]) > 0)
    start = np.flatnonzero(np.diff(step, prepend=-1))
    wins = np.zeros((people, people * people))
    owned = np.bincount(first[genuine], minlength=people).astype(np.float64)
    impostor_step = step[~genuine]
    for person in np.flatnonzero(owned):
        own = np.add.reduceat((genuine & (first == person)).astype(np.int64), start)
        upto = np.cumsum(own)
        above = owned[person] - upto + 0.5 * own
        wins[person] = np.bincount(pair, weights=above[impostor_step], minlength=people * people)
    table = wins.reshape(people, people, people)
    trials = np.bincount(pair, minlength=people * people).reshape(people, people).astype(np.float64)

    def value(weights: Weights) -> float:
        total = (owned @ weights) * (weights @ trials @ weights)
        if total <= 0:
            return float("nan")
        return float(np.einsum("abc,a,b,c->", table, weights, weights, weights, optimize=True) / total)

    return WeightedAuc(people, value, np.empty(0))

"""Intervals of verification figures over people: trials share drivers, so pairs are never resampled on their own.

How the method was chosen and what it covers: docs/intervals.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.metrics import Scores
from whodrives.evaluation.protocols import Pairs
from whodrives.evaluation.resampling import (
    LEVEL,
    ROUNDS,
    SEED,
    Interval,
    leave_one_out_interval,
    people_interval,
)
from whodrives.evaluation.trials import self_and_cross

__all__ = [
    "Interval",
    "metric_interval",
    "paired_pairs_interval",
    "paired_per_target_interval",
    "pairs_interval",
    "people_interval",
    "per_target_interval",
    "resampled",
]


@dataclass(frozen=True)
class _Leaves:
    """value : AUC. left_out (P,) : AUC without each person, NaN where none exists.

    meetings (Q,) : influence of the trials that two people share, by pair of people; empty where it is not taken off.
    """

    value: float
    left_out: NDArray[np.float64]
    meetings: NDArray[np.float64]

    def __sub__(self, other: _Leaves) -> _Leaves:
        return _Leaves(self.value - other.value, self.left_out - other.left_out, self.meetings - other.meetings)

    def interval(self, level: float, share: bool) -> Interval:
        # Half of what is counted twice: docs/intervals.md says why neither all nor none.
        return leave_one_out_interval(self.value, self.left_out, float((self.meetings**2).sum()) / 2, level, share)


def _rank(values: Scores, among: Scores) -> NDArray[np.float64]:
    """How many of `among` (ascending) lie below each value; ties count half."""
    return (np.searchsorted(among, values, side="left") + np.searchsorted(among, values, side="right")) / 2


def _by_person(first: NDArray[np.intp], second: NDArray[np.intp], people: int) -> list[NDArray[np.intp]]:
    """For each person 0..people - 1 the trials that it takes part in, each once."""
    two = np.flatnonzero(first != second)
    trials = np.concatenate((np.arange(len(first)), two))
    member = np.concatenate((first, second[two]))
    edges = np.cumsum(np.bincount(member, minlength=people))[:-1]
    return np.split(trials[np.argsort(member, kind="stable")], edges)


def _people(pairs: Pairs) -> tuple[int, NDArray[np.intp], NDArray[np.intp]]:
    """Number of people, and the two of each pair as numbers, in the order of np.unique."""
    people, codes = np.unique(np.concatenate((pairs.first, pairs.second)), return_inverse=True)
    return len(people), codes[: len(pairs.score)], codes[len(pairs.score) :]


def _pair_leaves(pairs: Pairs) -> _Leaves:
    value = pairs.result().auc
    people, first, second = _people(pairs)
    own, other = (_by_person(first[kind], second[kind], people) for kind in (pairs.genuine, ~pairs.genuine))
    genuine, impostor = pairs.score[pairs.genuine], pairs.score[~pairs.genuine]
    won = _rank(genuine, np.sort(impostor))
    lost = len(genuine) - _rank(impostor, np.sort(genuine))
    total = won.sum()
    left_out = np.full(people, np.nan)
    for p, (mine, theirs) in enumerate(zip(own, other, strict=True)):
        trials = (len(genuine) - len(mine)) * (len(impostor) - len(theirs))
        if trials:
            # Comparisons between two trials of p are in both sums, and are to go once.
            both = _rank(genuine[mine], np.sort(impostor[theirs])).sum()
            left_out[p] = (total - won[mine].sum() - lost[theirs].sum() + both) / trials
    return _Leaves(value, left_out, np.empty(0))


def pairs_interval(pairs: Pairs, rounds: int = ROUNDS, seed: int = SEED, level: float = LEVEL) -> Interval:
    """AUC of pairs, ties counting half, with an interval over drivers.

    Each driver is left out in turn with all pairs that it takes part in; see `leave_one_out_interval`. Nothing is
    drawn, so that `rounds` and `seed`, which other methods need, change nothing. Faces are not left out: `Pairs` does
    not know them.

    Raises InputError when there is no genuine or no impostor pair, for fewer than 3 people, and when all of either
    kind belong to one person.
    """
    return _pair_leaves(pairs).interval(level, share=True)


def _same_trials(a: Pairs, b: Pairs) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("genuine", "first", "second"))


def paired_pairs_interval(a: Pairs, b: Pairs, level: float = LEVEL) -> Interval:
    """AUC(a) - AUC(b), -1..1, of two models on the same trials in the same order; people are left out of both at once.

    Raises InputError when the trials differ, and as `pairs_interval`.
    """
    if not _same_trials(a, b):
        raise InputError(
            f"the two models were not scored on the same trials ({len(a.score)} and {len(b.score)} pairs); "
            "score both on the same videos, in the same order and by the same protocol"
        )
    return (_pair_leaves(a) - _pair_leaves(b)).interval(level, share=False)


def _target_leaves(
    scores: NDArray[np.float64], driver: NDArray[Any], target: NDArray[Any], is_self: NDArray[np.bool_]
) -> _Leaves:
    if np.shape(scores) != (len(driver), len(driver)):
        raise InputError(f"scores have shape {np.shape(scores)} for {len(driver)} videos; give one row and column each")
    people, code = np.unique(driver, return_inverse=True)
    owners: list[int] = []
    wins: list[NDArray[Any]] = []
    counts: list[NDArray[Any]] = []
    names, place = np.unique(target, return_inverse=True)
    for number_of, own, cross in self_and_cross(place, is_self):
        name = names[number_of]
        positives = np.sort(scores[np.ix_(own, own)][np.triu_indices(len(own), 1)])
        negatives = scores[np.ix_(own, cross)]
        if np.isnan(positives).any() or np.isnan(negatives).any():
            raise InputError(f"scores of target {name!r} are NaN; leave such videos out")
        won = (1 - _rank(negatives, positives) / len(positives)).sum(axis=0)
        owners.append(int(code[own[0]]))
        wins.append(np.bincount(code[cross], weights=won, minlength=len(people)))
        counts.append(np.bincount(code[cross], minlength=len(people)) * float(len(own)))
    if not owners:
        raise InputError("no target has two self-reenactments and a cross-reenactment; the protocol needs both")
    owner, won_by, number = np.array(owners), np.stack(wins), np.stack(counts)
    total = number.sum(axis=1)
    value = float((won_by.sum(axis=1) / total).mean())
    # Rows: targets. Columns: the person left out, as impostor here and as owner in `kept`.
    trials = total[:, None] - number
    auc = (won_by.sum(axis=1)[:, None] - won_by) / np.maximum(trials, 1e-12)
    kept = (trials > 0) & (owner[:, None] != np.arange(len(people)))
    valid = kept.sum(axis=0)
    left_out = np.where(valid > 0, (auc * kept).sum(axis=0) / np.maximum(valid, 1), np.nan)
    meeting = np.zeros((len(people), len(people)))
    np.add.at(meeting, owner, (won_by - value * number) / total[:, None] / len(owners))
    return _Leaves(value, left_out, (meeting + meeting.T)[np.triu_indices(len(people), 1)])


def per_target_interval(
    scores: NDArray[np.float64],
    driver: NDArray[Any],
    target: NDArray[Any],
    is_self: NDArray[np.bool_],
    rounds: int = ROUNDS,
    seed: int = SEED,
    level: float = LEVEL,
) -> Interval:
    """Mean AUC over targets (the paper's protocol) with an interval over people.

    A person is left out as the owner of targets and, at once, as an impostor on all others, since people recur from
    target to target; see `leave_one_out_interval`. `rounds` and `seed` change nothing, as in `pairs_interval`.

    Parameters
    ----------
    scores : (N, N), higher = more alike. driver, target : (N,). is_self : (N,) bool.

    Raises InputError when no target has two self- and one cross-reenactment, when scores are NaN or do not fit, and for
    fewer than 3 people.
    """
    return _target_leaves(scores, driver, target, is_self).interval(level, share=True)


def paired_per_target_interval(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    driver: NDArray[Any],
    target: NDArray[Any],
    is_self: NDArray[np.bool_],
    level: float = LEVEL,
) -> Interval:
    """Mean AUC over targets of model a less that of model b, -1..1; both as (N, N) scores of the same videos.

    Raises InputError as `per_target_interval`; scores of other videos than the labels' have another shape.
    """
    one, two = (_target_leaves(scores, driver, target, is_self) for scores in (a, b))
    return (one - two).interval(level, share=False)


def _copied(
    pairs: Pairs, first: NDArray[np.intp], second: NDArray[np.intp], counts: NDArray[np.int64]
) -> tuple[Scores, Scores]:
    times = np.where(first == second, counts[first], counts[first] * counts[second])
    own = pairs.genuine
    return np.repeat(pairs.score[own], times[own]), np.repeat(pairs.score[~own], times[~own])


def resampled(pairs: Pairs, counts: NDArray[np.int64]) -> tuple[Scores, Scores]:
    """Genuine and impostor scores when person k, in the order of np.unique of the drivers, is there counts[k] times.

    A genuine pair stands counts[k] times; an impostor pair of k and l counts[k] * counts[l] times. Copies of one person
    make no impostor pairs with each other. Raises InputError unless there is one count a person.
    """
    people, first, second = _people(pairs)
    if len(counts) != people:
        raise InputError(f"{len(counts)} counts for {people} people; give one each")
    return _copied(pairs, first, second, counts)


def metric_interval(
    pairs: Pairs,
    metric: Callable[[Scores, Scores], float],
    rounds: int = ROUNDS,
    seed: int = SEED,
    level: float = LEVEL,
) -> Interval:
    """Any metric of genuine and impostor scores that lies in 0..1, such as `eer`, by `people_interval`.

    For AUC `pairs_interval` is faster. Raises InputError as `people_interval` and as the metric.
    """
    people, first, second = _people(pairs)

    def statistic(counts: NDArray[np.int64]) -> float:
        genuine, impostor = _copied(pairs, first, second, counts)
        return metric(genuine, impostor) if genuine.size and impostor.size else float("nan")

    return people_interval(statistic, people, rounds, seed, level)

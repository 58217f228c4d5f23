"""Intervals of verification figures over people: trials share drivers, so pairs are never resampled on their own.

How the method was chosen and what it covers: docs/intervals.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
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
class Leaves:
    """value : AUC. left_out (P,), faces (F,) : AUC without each person or face, NaN where none exists.

    twice : influences whose squares add up to the variance that is counted twice. Without faces (None) only half of it
    is taken off: docs/intervals.md says why.
    """

    value: float
    left_out: NDArray[np.float64]
    faces: NDArray[np.float64] | None
    twice: NDArray[np.float64]

    def __sub__(self, other: Leaves) -> Leaves:
        faces = None if self.faces is None or other.faces is None else self.faces - other.faces
        return Leaves(self.value - other.value, self.left_out - other.left_out, faces, self.twice - other.twice)

    def interval(self, level: float, share: bool) -> Interval:
        shared = float((self.twice**2).sum()) * (0.5 if self.faces is None else 1.0)
        return leave_one_out_interval(self.value, self.left_out, self.faces, shared, level, share)


# Ends of trials that are numbers below this are counted off; others are sorted, which takes several times as long.
MOST_CODES = 1 << 24
# From so many values on it pays to sort them first: the search then walks through memory in order.
MANY = 1 << 16


def _rank(values: Scores, among: Scores) -> NDArray[np.float64]:
    """How many of `among` (ascending) lie below each value; ties count half."""
    if values.ndim == 1 and len(values) > MANY:
        order, out = np.argsort(values), np.empty(len(values))
        out[order] = _rank_in_order(values[order], among)
        return out
    return _rank_in_order(values, among)


def _rank_in_order(values: Scores, among: Scores) -> NDArray[np.float64]:
    return (np.searchsorted(among, values, side="left") + np.searchsorted(among, values, side="right")) / 2


@dataclass(frozen=True)
class _Ends:
    """What stands at the two ends of each pair, people or faces or both, as numbers 0..count-1 in sorted order."""

    count: int
    first: NDArray[np.intp]
    second: NDArray[np.intp]

    @classmethod
    def make(cls, first: NDArray[Any], second: NDArray[Any]) -> _Ends:
        sides = first, second
        if len(first) and all(
            np.issubdtype(side.dtype, np.integer) and side.min() >= 0 and side.max() < MOST_CODES for side in sides
        ):
            seen = np.bincount(first, minlength=int(second.max()) + 1) > 0
            seen[second] = True
            place = np.cumsum(seen) - 1
            return cls(int(seen.sum()), place[first], place[second])
        names, codes = np.unique(np.concatenate((first, second)), return_inverse=True)
        return cls(len(names), codes[: len(first)], codes[len(first) :])

    def members(self, kind: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
        """For each of `count` the pairs of a kind that it takes part in, each once, numbered within the kind."""
        first, second = self.first[kind], self.second[kind]
        two = np.flatnonzero(first != second)
        pairs, member = np.concatenate((np.arange(len(first)), two)), np.concatenate((first, second[two]))
        edges = np.cumsum(np.bincount(member, minlength=self.count))[:-1]
        if self.count <= 1 << 16:
            member = member.astype(np.uint16)  # which NumPy sorts by radix
        return np.split(pairs[np.argsort(member, kind="stable")], edges)

    def total(self, influence: NDArray[np.float64]) -> NDArray[np.float64]:
        """(count,) sums over the pairs of each."""
        again = np.where(self.first == self.second, 0.0, influence)
        sums = np.bincount(self.first, weights=influence, minlength=self.count)
        return np.asarray(sums + np.bincount(self.second, weights=again, minlength=self.count))


@dataclass(frozen=True)
class _Scored:
    """Pairs with, for each genuine pair, the impostors below it (won), and for each impostor the genuine above (lost).

    Ties count half.
    """

    pairs: Pairs
    won: NDArray[np.float64]
    lost: NDArray[np.float64]

    @classmethod
    def make(cls, pairs: Pairs) -> _Scored:
        genuine, impostor = pairs.score[pairs.genuine], pairs.score[~pairs.genuine]
        return cls(pairs, _rank(genuine, np.sort(impostor)), len(genuine) - _rank(impostor, np.sort(genuine)))

    def without(self, ends: _Ends) -> NDArray[np.float64]:
        """(count,) AUC of the pairs that each has no part in; NaN where a kind is gone."""
        own = self.pairs.genuine
        genuine, impostor = self.pairs.score[own], self.pairs.score[~own]
        total, out = self.won.sum(), np.full(ends.count, np.nan)
        for place, (mine, theirs) in enumerate(zip(ends.members(own), ends.members(~own), strict=True)):
            trials = (len(genuine) - len(mine)) * (len(impostor) - len(theirs))
            if trials:
                # Comparisons between two pairs that both go are in both sums, and are to go once.
                both = _rank(genuine[mine], np.sort(impostor[theirs])).sum()
                out[place] = (total - self.won[mine].sum() - self.lost[theirs].sum() + both) / trials
        return out

    def influence(self, value: float) -> NDArray[np.float64]:
        """(pairs,) by how much each moves the AUC; the pairs of a kind sum to 0."""
        own, out = self.pairs.genuine, np.empty(len(self.pairs.score))
        out[own] = (self.won / len(self.lost) - value) / len(self.won)
        out[~own] = (self.lost / len(self.won) - value) / len(self.lost)
        return out


def pair_leaves(pairs: Pairs) -> Leaves:
    """AUC of pairs without each person, and without each face where the faces are known. Errors as `pairs_interval`."""
    value = pairs.result().auc
    scored, people = _Scored.make(pairs), _Ends.make(pairs.first, pairs.second)
    left_out = scored.without(people)
    if pairs.first_target is None or pairs.second_target is None:
        return Leaves(value, left_out, None, np.empty(0))
    faces = _Ends.make(pairs.first_target, pairs.second_target)
    on_face = _Ends.make(people.first * faces.count + faces.first, people.second * faces.count + faces.second)
    return Leaves(value, left_out, scored.without(faces), on_face.total(scored.influence(value)))


def pairs_interval(pairs: Pairs, rounds: int = ROUNDS, seed: int = SEED, level: float = LEVEL) -> Interval:
    """AUC of pairs, ties counting half, with an interval over drivers, and over faces where `pairs` knows them.

    Each driver, and then each face, is left out in turn with all pairs that it takes part in; see
    `leave_one_out_interval`. Nothing is drawn, so that `rounds` and `seed`, which other methods need, change nothing.

    Raises InputError when there is no genuine or no impostor pair, for fewer than 3 people, and when all of either
    kind belong to one person.
    """
    return pair_leaves(pairs).interval(level, share=True)


def _same_trials(a: Pairs, b: Pairs) -> bool:
    names = (field.name for field in fields(Pairs) if field.name != "score")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def paired_pairs_interval(a: Pairs, b: Pairs, level: float = LEVEL) -> Interval:
    """AUC(a) - AUC(b), -1..1, of two models on the same trials in the same order; people are left out of both at once.

    Raises InputError when the trials differ, and as `pairs_interval`.
    """
    if not _same_trials(a, b):
        raise InputError(
            f"the two models were not scored on the same trials ({len(a.score)} and {len(b.score)} pairs); "
            "score both on the same videos, in the same order and by the same protocol"
        )
    return (pair_leaves(a) - pair_leaves(b)).interval(level, share=False)


def _target_leaves(
    scores: NDArray[np.float64], driver: NDArray[Any], target: NDArray[Any], is_self: NDArray[np.bool_]
) -> Leaves:
    if np.shape(scores) != (len(driver), len(driver)):
        raise InputError(f"scores have shape {np.shape(scores)} for {len(driver)} videos; give one row and column each")
    people, code = np.unique(driver, return_inverse=True)
    owners: list[int] = []
    wins: list[NDArray[Any]] = []
    counts: list[NDArray[Any]] = []
    names, place = np.unique(target, return_inverse=True)
    for at, own, cross in self_and_cross(place, is_self):
        positives = np.sort(scores[np.ix_(own, own)][np.triu_indices(len(own), 1)])
        negatives = scores[np.ix_(own, cross)]
        if np.isnan(positives).any() or np.isnan(negatives).any():
            raise InputError(f"scores of target {names[at]!r} are NaN; leave such videos out")
        won = (1 - _rank(negatives, positives) / len(positives)).sum(axis=0)
        owners.append(int(code[own[0]]))
        wins.append(np.bincount(code[cross], weights=won, minlength=len(people)))
        counts.append(np.bincount(code[cross], minlength=len(people)) * float(len(own)))
    if not owners:
        raise InputError("no target has two self-reenactments and a cross-reenactment; the protocol needs both")
    return leaves_by_target(np.array(owners), np.stack(wins), np.stack(counts))


def leaves_by_target(owner: NDArray[np.intp], won_by: NDArray[Any], number: NDArray[Any]) -> Leaves:
    """Mean AUC over targets without each person.

    owner : (targets,) person whose genuine trials a target has. won_by, number : (targets, people) comparisons that the
    genuine trials win against each person's impostor trials, and how many there are.
    """
    people = won_by.shape[1]
    total = number.sum(axis=1)
    value = float((won_by.sum(axis=1) / total).mean())
    # Rows: targets. Columns: the person left out, as impostor here and as owner in `kept`.
    trials = total[:, None] - number
    auc = (won_by.sum(axis=1)[:, None] - won_by) / np.maximum(trials, 1e-12)
    kept = (trials > 0) & (owner[:, None] != np.arange(people))
    valid = kept.sum(axis=0)
    left_out = np.where(valid > 0, (auc * kept).sum(axis=0) / np.maximum(valid, 1), np.nan)
    meeting = np.zeros((people, people))
    np.add.at(meeting, owner, (won_by - value * number) / total[:, None] / len(owner))
    return Leaves(value, left_out, None, (meeting + meeting.T)[np.triu_indices(people, 1)])


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


def _copied(pairs: Pairs, people: _Ends, counts: NDArray[np.int64]) -> tuple[Scores, Scores]:
    first, second = people.first, people.second
    times = np.where(first == second, counts[first], counts[first] * counts[second])
    own = pairs.genuine
    return np.repeat(pairs.score[own], times[own]), np.repeat(pairs.score[~own], times[~own])


def resampled(pairs: Pairs, counts: NDArray[np.int64]) -> tuple[Scores, Scores]:
    """Genuine and impostor scores when person k, in the order of np.unique of the drivers, is there counts[k] times.

    A genuine pair stands counts[k] times; an impostor pair of k and l counts[k] * counts[l] times. Copies of one person
    make no impostor pairs with each other. Raises InputError unless there is one count a person.
    """
    people = _Ends.make(pairs.first, pairs.second)
    if len(counts) != people.count:
        raise InputError(f"{len(counts)} counts for {people.count} people; give one each")
    return _copied(pairs, people, counts)


def metric_interval(
    pairs: Pairs,
    metric: Callable[[Scores, Scores], float],
    rounds: int = ROUNDS,
    seed: int = SEED,
    level: float = LEVEL,
) -> Interval:
    """Any metric of genuine and impostor scores that lies in 0..1, such as `eer`, by `people_interval`.

    Only people are resampled; for AUC use `pairs_interval`, which allows for faces too. Raises InputError as
    `people_interval` and as the metric.
    """
    people = _Ends.make(pairs.first, pairs.second)

    def statistic(counts: NDArray[np.int64]) -> float:
        genuine, impostor = _copied(pairs, people, counts)
        return metric(genuine, impostor) if genuine.size and impostor.size else float("nan")

    return people_interval(statistic, people.count, rounds, seed, level)

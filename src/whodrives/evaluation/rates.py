"""Intervals over people of error rates: of the equal error rate, and of true accepts at a false-accept rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whodrives.errors import InputError
from whodrives.evaluation.intervals import people_interval
from whodrives.evaluation.pooling import TrialScores
from whodrives.evaluation.report.parts import Bounds

ROUNDS = 200
# Of each kind: the spread over people is measured on so many trials at most, drawn at random.
MOST_TRIALS = 50_000

Weights = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class WeightedTrials:
    """P trials under any number of copies of each person, without copying a trial.

    code : (P,) place of each score among the distinct ones, ascending. first, second : (P,) people, 0..people - 1.
    """

    code: NDArray[np.int64]
    genuine: NDArray[np.bool_]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    people: int

    @classmethod
    def make(cls, scores: TrialScores, most: int = MOST_TRIALS, seed: int = 0) -> WeightedTrials:
        """Of scored trials, at most `most` of each kind."""
        rng, places = np.random.default_rng(seed), []
        for kind in (scores.genuine, ~scores.genuine):
            rows = np.flatnonzero(kind)
            places.append(rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False)))
        keep = np.concatenate(places)
        people, ends = np.unique((scores.first[keep], scores.second[keep]), return_inverse=True)
        first, second = ends.reshape(2, -1)
        code = np.unique(scores.score[keep], return_inverse=True)[1]
        return cls(code, scores.genuine[keep], first, second, len(people))

    def counts(self, copies: NDArray[np.int64]) -> tuple[Weights, Weights]:
        """Genuine and impostor trials at each distinct score when person p is there copies[p] times: a trial of one
        person copies[p] times, one of p and q copies[p] * copies[q] times."""
        times = np.where(self.first == self.second, copies[self.first], copies[self.first] * copies[self.second])
        size = int(self.code.max(initial=0)) + 1
        own = self.genuine
        one, two = (np.bincount(self.code[kind], weights=times[kind], minlength=size) for kind in (own, ~own))
        return one.astype(np.float64), two.astype(np.float64)


def weighted_eer(genuine: Weights, impostor: Weights) -> float:
    """`metrics.eer` of counts (K,) at distinct ascending scores; NaN without trials of both kinds."""
    totals = genuine.sum(), impostor.sum()
    if not all(totals):
        return float("nan")
    # At the threshold of score k, and last at one above all scores.
    missed, refused = (np.append(0.0, np.cumsum(kind)) for kind in (genuine, impostor))
    frr, far = missed / totals[0], (totals[1] - refused) / totals[1]
    at = int(np.argmin(np.abs(far - frr)))
    return float((far[at] + frr[at]) / 2)


def weighted_tar(genuine: Weights, impostor: Weights, far: float) -> float:
    """`metrics.tar_at_far` of counts (K,) at distinct ascending scores; NaN without trials of both kinds."""
    totals = genuine.sum(), impostor.sum()
    if not all(totals):
        return float("nan")
    allowed = np.floor(far * totals[1] + 1e-9)
    at_or_above = np.cumsum(impostor[::-1])[::-1]
    over = np.flatnonzero(at_or_above > allowed)
    # Accepted is what scores above the highest score that would let too many impostors in.
    start = int(over[-1]) + 1 if len(over) else 0
    return float(genuine[start:].sum() / totals[0])


def rate_intervals(
    scores: TrialScores, fars: Sequence[float], seed: int = 0, rounds: int = ROUNDS
) -> tuple[Bounds | None, dict[float, Bounds]]:
    """95% intervals of the EER and of TAR at each rate of `fars`, by `resampling.people_interval`.

    People are drawn anew `rounds` times from `seed`. None, or left out, for fewer than 3 people and where hardly any
    draw has trials of both kinds.
    """
    trials = WeightedTrials.make(scores, seed=seed)
    if trials.people < 3:
        return None, {}

    def bounds(statistic: Callable[[Weights, Weights], float]) -> Bounds | None:
        try:
            found = people_interval(lambda copies: statistic(*trials.counts(copies)), trials.people, rounds, seed)
        except InputError:
            return None
        return found.low, found.high

    tars = {far: bounds(lambda own, other, rate=far: weighted_tar(own, other, rate)) for far in fars}  # type: ignore[misc]
    return bounds(weighted_eer), {far: one for far, one in tars.items() if one is not None}

"""Intervals by resampling people: trials share drivers, so pairs are never resampled on their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from whodrives.errors import InputError
from whodrives.evaluation.protocols import Pairs
from whodrives.evaluation.trials import self_and_cross

ROUNDS, SEED, LEVEL = 1000, 0, 0.95


@dataclass(frozen=True)
class Interval:
    """value : on all people. low, high : percentile interval. rounds : resamples that had both kinds of trials."""

    value: float
    low: float
    high: float
    rounds: int

    @property
    def half_width(self) -> float:
        """Half of high - low."""
        return (self.high - self.low) / 2

    def holds(self, value: float) -> bool:
        """Whether `value` lies in the interval, ends included."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def _interval(value: float, draws: list[float], level: float) -> Interval:
    if not draws:
        raise InputError("no resample of people held both genuine and impostor trials; there are too few people")
    low, high = np.percentile(draws, [50 * (1 - level), 50 * (1 + level)])
    return Interval(float(value), float(low), float(high), len(draws))


def pairs_interval(pairs: Pairs, rounds: int = ROUNDS, seed: int = SEED, level: float = LEVEL) -> Interval:
    """AUC of pairs with a bootstrap interval over drivers.

    A driver drawn k times stands k times in the sample: its genuine pairs weigh k, a pair with a driver drawn l times
    weighs k * l. The weighted AUC is exact, ties count half.

    Raises InputError when there is no genuine or no impostor pair.
    """
    value = pairs.result().auc
    people, codes = np.unique(np.concatenate((pairs.first, pairs.second)), return_inverse=True)
    ranks = rankdata(pairs.score, method="dense")
    order = np.argsort(ranks, kind="stable")
    starts = np.flatnonzero(np.diff(ranks[order], prepend=0))
    first, second = codes[: len(ranks)][order], codes[len(ranks) :][order]
    genuine = pairs.genuine[order]
    rng, draws = np.random.default_rng(seed), []
    for _ in range(rounds):
        drawn = np.bincount(rng.integers(len(people), size=len(people)), minlength=len(people)).astype(np.float64)
        weight = drawn[first]
        positive = np.add.reduceat(np.where(genuine, weight, 0.0), starts)
        negative = np.add.reduceat(np.where(genuine, 0.0, weight * drawn[second]), starts)
        below = np.cumsum(negative) - 0.5 * negative
        total = positive.sum() * negative.sum()
        if total > 0:
            draws.append(float(positive @ below / total))
    return _interval(value, draws, level)


def per_target_interval(
    scores: NDArray[np.float64],
    driver: NDArray[Any],
    target: NDArray[Any],
    is_self: NDArray[np.bool_],
    rounds: int = ROUNDS,
    seed: int = SEED,
    level: float = LEVEL,
) -> Interval:
    """Mean AUC over targets (the paper's protocol) with a bootstrap interval over people.

    A target is resampled with its own driver; the same draw weighs the people who drive it as impostors, since they
    recur from target to target.

    Parameters
    ----------
    scores : (N, N), higher = more alike. driver, target : (N,). is_self : (N,) bool.

    Raises InputError when no target has two self- and one cross-reenactment.
    """
    people, code = np.unique(driver, return_inverse=True)
    owners: list[int] = []
    wins: list[NDArray[Any]] = []
    counts: list[NDArray[Any]] = []
    for _, own, cross in self_and_cross(np.unique(target, return_inverse=True)[1], is_self):
        positives = np.sort(scores[np.ix_(own, own)][np.triu_indices(len(own), 1)])
        negatives = scores[np.ix_(own, cross)]
        above = len(positives) - np.searchsorted(positives, negatives, side="right")
        ties = np.searchsorted(positives, negatives, side="right") - np.searchsorted(positives, negatives, side="left")
        won = (above + 0.5 * ties).sum(axis=0) / len(positives)
        owners.append(int(code[own[0]]))
        wins.append(np.bincount(code[cross], weights=won, minlength=len(people)))
        counts.append(np.bincount(code[cross], minlength=len(people)) * float(len(own)))
    if not owners:
        raise InputError("no target has two self-reenactments and a cross-reenactment; the protocol needs both")
    owner, won_by, number = np.array(owners), np.stack(wins), np.stack(counts)
    rng, draws = np.random.default_rng(seed), []
    for _ in range(rounds):
        drawn = np.bincount(rng.integers(len(people), size=len(people)), minlength=len(people)).astype(np.float64)
        trials = number @ drawn
        weight = np.where(trials > 0, drawn[owner], 0.0)
        if weight.sum() > 0:
            draws.append(float(weight @ (won_by @ drawn / np.maximum(trials, 1e-12)) / weight.sum()))
    return _interval(float((won_by.sum(axis=1) / number.sum(axis=1)).mean()), draws, level)

"""From the same statistic on other sets of people to an interval. Knows nothing about trials."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from whodrives.errors import InputError

ROUNDS, SEED, LEVEL = 1000, 0, 0.95
# A share this near to 0 or 1 is taken as this far away: its probit would else be infinite.
EDGE = 1e-4

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """value : on all people. low, high : ends. rounds : values that the interval rests on, one for each person left
    out or for each resample that had both kinds of trials. seed : of the resamples; None where nothing is drawn.

    method : ``leave-one-person-out`` or ``people bootstrap``.
    """

    value: float
    low: float
    high: float
    rounds: int
    seed: int | None = None
    method: str = ""

    @property
    def half_width(self) -> float:
        """Half of high - low."""
        return (self.high - self.low) / 2

    def holds(self, value: float) -> bool:
        """Whether `value` lies in the interval, ends included."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def _stretch(share: Vector | float) -> Vector:
    return np.asarray(norm.ppf(np.clip(share, EDGE, 1 - EDGE)))


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise InputError(f"level {level} must lie between 0 and 1, such as 0.95")


def _ends(value: float, middle: float, reach: float, share: bool) -> tuple[float, float]:
    """middle -+ reach on value's own scale; beyond EDGE the value itself may lie outside, and is taken in."""
    low, high = middle - reach, middle + reach
    if share:
        low, high = float(norm.cdf(low)), float(norm.cdf(high))
    return min(low, value), max(high, value)


def _variance(left_out: Vector) -> float:
    """The jackknife's: (n - 1) / n times the sum of squares around the mean."""
    return (len(left_out) - 1) / len(left_out) * float(((left_out - left_out.mean()) ** 2).sum())


def leave_one_out_interval(
    value: float,
    left_out: Vector,
    faces: Vector | None = None,
    shared: float = 0.0,
    level: float = LEVEL,
    share: bool = True,
) -> Interval:
    """Interval from the statistic without each person in turn: the jackknife over people, and over faces if given.

    Twice a standard error around the value, nearly: the variance is (P - 1) / P times the sum of squares of the
    left-out values, the factor is Student's t with P - 1 degrees of freedom (Efron & Stein, The jackknife estimate of
    variance, 1981). With faces their variance is added and what belongs to both, a person on a face, taken off once
    (Cameron, Gelbach & Miller, Robust inference with multiway clustering, 2011); the degrees of freedom are those of
    the larger one. A share is first turned into its probit (for normal scores the AUC is the normal distribution
    function of how far genuine and impostor scores lie apart), so that the ends stay within 0..1, the one towards
    the edge being the nearer. Measured coverage: docs/intervals.md.

    Parameters
    ----------
    value : on all people. left_out : (P,), P >= 3; entry p is the statistic without person p, on the same scale.
    faces : (F,), the same without each face. Left aside when F < 3 or a value is not finite; the interval is then about
        these very faces.
    shared : variance that is counted twice, >= 0, in the square of value's unit. What is left is never less than the
        variance over people, or half of it where there are no faces.
    share : value lies in 0..1; False for a difference, whose interval is built on value itself.

    Raises InputError for fewer than 3 people, or when a left-out value is not finite: nobody else then has such trials.
    """
    _check_level(level)
    count, lost = len(left_out), int((~np.isfinite(left_out)).sum())
    if count < 3 or lost:
        raise InputError(
            f"{count} people, and {lost} of them hold all genuine or all impostor trials; an interval over people "
            "needs at least 3, any of whom can be left out: use more people, or more recordings of each"
        )
    middle = float(_stretch(value)) if share else value
    # Variances in the unit of value become those of the probit by its slope.
    twice = shared / float(norm.pdf(middle)) ** 2 if share else shared
    people = _variance(_stretch(left_out) if share else left_out)
    groups, variance = count, max(people - twice, people / 2)
    if faces is not None:
        usable = len(faces) >= 3 and bool(np.isfinite(faces).all())
        more = _variance(_stretch(faces) if share else faces) if usable else 0.0
        groups, variance = len(faces) if more > people else count, max(people + more - twice, people)
    reach = float(student.ppf((1 + level) / 2, groups - 1)) * math.sqrt(variance)
    return Interval(value, *_ends(value, middle, reach, share), count, None, "leave-one-person-out")


def people_interval(
    statistic: Callable[[NDArray[np.int64]], float],
    people: int,
    rounds: int = ROUNDS,
    seed: int = SEED,
    level: float = LEVEL,
    share: bool = True,
) -> Interval:
    """Interval of any statistic of weighted people, smooth or not: EER, TAR at a FAR.

    People are drawn with replacement; the standard deviation of the statistic over the draws, of its probit where it
    is a share, times Student's t with people - 1 degrees of freedom.

    Parameters
    ----------
    statistic : (people,) int64 counts that sum to `people` (all ones for the value itself) -> float; NaN where those
        people lack genuine or impostor trials. share : the statistic lies in 0..1; False for a difference.

    Raises InputError without at least two draws in which the statistic exists, or when it does not exist on all people.
    """
    _check_level(level)
    if people < 2 or rounds < 2:
        raise InputError(f"{people} people and {rounds} rounds; a bootstrap over people needs at least 2 of each")
    value = float(statistic(np.ones(people, dtype=np.int64)))
    if not math.isfinite(value):
        raise InputError(f"the statistic is {value} on all {people} people; give genuine and impostor trials")
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(people, np.full(people, 1 / people), size=rounds)
    draws = np.array([float(statistic(one)) for one in weights])
    draws = draws[np.isfinite(draws)]
    if len(draws) < 2:
        raise InputError("no resample of people held both genuine and impostor trials; there are too few people")
    scaled = _stretch(draws) if share else draws
    reach = float(student.ppf((1 + level) / 2, people - 1)) * float(scaled.std(ddof=1))
    middle = float(_stretch(value)) if share else value
    return Interval(value, *_ends(value, middle, reach, share), len(draws), seed, "people bootstrap")
